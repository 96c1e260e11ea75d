package backup

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// TestRestore_Parts compares a mailbox in parts: twins, different messages of one Message-ID and size, and those without
// Message-ID are appended as often as they are missing.
func TestRestore_Parts(t *testing.T) {
	repo := newRepo(t, FormatMaildir)
	box := repo.box("Parts")
	var bodies []string
	for n := range 12 {
		bodies = append(bodies, fmt.Sprintf("Message-ID: <%d@example.org>\n\nx\n", n), "Message-ID: <twin@example.org>\n\nx\n",
			fmt.Sprintf("Message-ID: <same@example.org>\n\nx%02d\n", n), fmt.Sprintf("Subject: none\n\nx%02d\n", n))
	}
	for n, body := range bodies {
		repo.put(box, 7, uint32(n+1), body)
	}
	bodies = append(bodies, "Message-ID: <same@example.org>\n\nx99\n") // of the date of the third
	repo.put(box, 7, 63, bodies[len(bodies)-1])
	repo.snap(time.Now())
	want := storedFacts(t, repo.Repo, itself)
	for _, part := range []int{1, 5, 48} {
		g := newRig(t, "", "")
		there := 0
		for round := range 4 {
			rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: g.dial, part: part})
			told := fmt.Sprintf("%d wanted, %d present, %d appended, 0 merged, 0 refused", len(bodies), there, len(bodies)-there)
			if err != nil || counts(rep) != told {
				t.Errorf("part %d, round %d: got %s, %v; want %s", part, round, counts(rep), err, told)
			}
			sameLines(t, "restored", onServerNow(t, g.dial), want)
			var gone []uint32
			for i, m := range g.box("Parts").Messages() {
				if round > 0 && i%(round+2) == 0 {
					gone = append(gone, m.UID)
				}
			}
			if _, err := g.box("Parts").Expunge(gone); err != nil {
				t.Fatal(err)
			}
			there = len(bodies) - len(gone)
		}
	}
}

// TestSpool gives back what it was given, more than it keeps in memory, and leaves no file.
func TestSpool(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for _, count := range []int{0, 1, 1023, 1024, 1025, 3*spoolMemory/60 + 7} {
		var s spool[local]
		record := func(n int) local {
			return local{at: uint32(n), size: int64(n) << 40, date: -int64(n), id: uint64(n) << 50, header: proof{1, byte(n)}, whole: proof{15: byte(n)}}
		}
		for n := range count {
			if err := s.add(record(n)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			n := 0
			for got, err := range s.all() {
				if err != nil || got != record(n) {
					t.Fatalf("record %d of %d: got %+v, %v; want %+v", n, count, got, err, record(n))
				}
				n++
			}
			if n != count {
				t.Errorf("got %d records, want %d", n, count)
			}
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(tmp); len(left) > 0 {
			t.Errorf("%d records: a file is left", count)
		}
	}
	one := listed{uid: 1<<32 - 1, size: -1, date: noDate, id: 1<<64 - 1}
	if got := one.parse(one.append(nil)); got != one || len(one.append(nil)) != one.octets() {
		t.Errorf("got %+v, want %+v", got, one)
	}
}
