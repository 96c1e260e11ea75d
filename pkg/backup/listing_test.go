package backup

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"testing"
	"time"
)

// TestFoundNames writes names in their short form and back, and sorts them.
func TestFoundNames(t *testing.T) {
	want := []string{
		"1.V7U2.e3b0c44298fc1c14,S=1,W=1",
		"1700000000.V5U17.e3b0c44298fc1c14,S=1234,W=1250,X=wire:2,",
		"1700000000.V5U17.e3b0c44298fc1c14,S=1234,W=1250,X=wire:2,S",
		"-86400.La665a45920422f9d.e3b0c44298fc1c14,S=1,W=1.eml:2,",
		"999999999.La665a45920422f9d.e3b0c44298fc1c14,S=1,W=1:2,",
		"1000000000.La665a45920422f9d.e3b0c44298fc1c14,S=1,W=1:2,",
		"0.V0U1.e3b0c44298fc1c14,S=0,W=0",
	}
	r := &Repo{settings: Settings{Format: FormatMaildir}}
	l := &listing{subs: r.subs()}
	known := map[string]uint32{}
	var names foundNames
	for i := range want {
		base, suffix := r.cutName(want[len(want)-1-i])
		facts, ok := parseFileName(base)
		if !ok {
			t.Fatalf("%q is no name", base)
		}
		n := nameFound(base, facts)
		n.suffix = l.number(known, uint32(i%2), suffix)
		names.add(n)
		if f := n.file(l); f.base != base || f.suffix != suffix || f.facts != facts || f.sub != uint32(i%2) {
			t.Errorf("%q, %q, %+v in %d became %+v", base, suffix, facts, i%2, f)
		}
	}
	var got []string
	for _, i := range names.sorted(l) {
		f := names.at(i).file(l)
		got = append(got, f.base+f.suffix)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

// TestFoundNamesMany has as many names as need several chunks.
func TestFoundNamesMany(t *testing.T) {
	for _, n := range []int{0, 1, foundChunk - 1, foundChunk, foundChunk + 1, 3*foundChunk + 5} {
		var names foundNames
		for i := range n {
			names.add(foundName{uid: uint32(n - i)})
		}
		order := names.sorted(&listing{})
		if len(order) != n {
			t.Fatalf("got %d names, want %d", len(order), n)
		}
		for i, at := range order {
			if got := names.at(at).uid; got != uint32(i)+1 {
				t.Fatalf("number %d of %d: got UID %d, want %d", i, n, got, i+1)
			}
		}
	}
}

// TestUnseen has files of one hash that differ in what follows it.
func TestUnseen(t *testing.T) {
	l := &listing{subs: []string{"cur", "new"}, seed: maphash.MakeSeed(), suffixes: []string{"", ":2,S"}}
	hash := maphash.String(l.seed, "a")
	l.files = []listedFile{{hash: hash, suffix: 0, seen: true}, {hash: hash, suffix: 1}, {hash: hash, suffix: 2}}
	for _, c := range []struct {
		sub          uint32
		base, suffix string
		want         bool
	}{
		{0, "a", "", false}, {1, "a", "", true}, {0, "a", ":2,S", true}, {1, "a", ":2,S", false}, {0, "b", "", false},
	} {
		if got := l.unseen(c.sub, c.base, c.suffix); got != c.want {
			t.Errorf("%s/%s%s: got %v, want %v", l.subs[c.sub], c.base, c.suffix, got, c.want)
		}
	}
}

// TestDiffJoins pairs messages of one mailbox and digest.
func TestDiffJoins(t *testing.T) {
	const none = noRef
	for _, c := range []struct {
		name       string
		list, want []pair
	}{
		{"went and came", []pair{{0, none}, {none, 1}}, []pair{{0, 1}}},
		{"came and went", []pair{{none, 0}, {1, none}}, []pair{{none, 0}, {1, none}}},
		{"the first that went comes first", []pair{{0, none}, {1, none}, {none, 2}, {none, 3}}, []pair{{0, 2}, {1, 3}}},
		{"one more came", []pair{{0, none}, {none, 1}, {none, 2}}, []pair{{0, 1}, {none, 2}}},
		{"one more went", []pair{{0, none}, {none, 1}, {2, none}, {3, none}, {none, 4}}, []pair{{0, 1}, {2, 4}, {3, none}}},
		{"other flags between", []pair{{0, 0}, {1, none}, {2, 2}, {none, 3}}, []pair{{0, 0}, {1, 3}, {2, 2}}},
	} {
		joinAlike(c.list)
		got := slices.DeleteFunc(c.list, func(p pair) bool { return p == pair{none, none} })
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// TestDiffRandom compares what differs between any two snapshots with what a slow way
// to find it gives.
func TestDiffRandom(t *testing.T) {
	joined := 0
	for seed := range uint64(6) {
		c := newRepo(t, FormatEML)
		randomHistory(c, seed, 10)
		snaps := c.Snapshots()
		for i, a := range snaps {
			for _, b := range snaps[i:] {
				d, err := c.compare(a.ID, b.ID)
				c.must(err)
				got, want := d.pairs(), slowPairs(d)
				if !slices.Equal(got, want) {
					t.Errorf("seed %d, from %s to %s: got %v, want %v", seed, a.ID, b.ID, got, want)
				}
				for _, p := range got {
					if p.early != p.late && p.early != noRef && p.late != noRef {
						joined++
					}
				}
			}
		}
	}
	if joined == 0 {
		t.Error("no message had another UID")
	}
}

// slowPairs finds what differs one message after another.
func slowPairs(d *differ) []pair {
	var list []pair
	for i := range ref(d.x.entries.n) {
		p, _ := d.changed(i)
		at := slices.IndexFunc(list, func(q pair) bool {
			return p.early == noRef && p.late != noRef && q.early != noRef && q.late == noRef &&
				d.x.entries.at(q.early).box == d.x.entries.at(i).box && d.x.entries.at(q.early).digest == d.x.entries.at(i).digest
		})
		if at >= 0 {
			list[at].late = i
		} else if p != (pair{noRef, noRef}) {
			list = append(list, p)
		}
	}
	list = slices.DeleteFunc(list, func(p pair) bool {
		return p.early != noRef && p.late != noRef && d.early[p.early] == d.x.stateOf(p.late)
	})
	boxes := d.x.boxNumbers(true)
	slices.SortStableFunc(list, func(p, q pair) int {
		return cmp.Compare(slices.Index(boxes, d.entry(p).box), slices.Index(boxes, d.entry(q).box))
	})
	return list
}

// TestPruneFileOfSeveralLines drops two lines that name one file, which goes once.
func TestPruneFileOfSeveralLines(t *testing.T) {
	c := recognised(t)
	box, _ := c.tip.box("A")
	c.must(c.rec.noBox(box))
	c.snap(time.Unix(3e9, 0))
	if _, _, err := c.Forget(ForgetPolicy{KeepLast: 1}, false); err != nil {
		t.Fatal(err)
	}
	var want PruneResult
	for i := range ref(c.tip.entries.n) {
		want.Messages++
		if m, err := c.tip.message(i); err != nil {
			t.Fatal(err)
		} else if facts, _ := parseFileName(m.File); facts.UIDValidity == m.UIDValidity {
			want.Files, want.Size = want.Files+1, want.Size+facts.Size
		}
	}
	for _, dryRun := range []bool{true, false} {
		t.Run(fmt.Sprint("dry run ", dryRun), func(t *testing.T) {
			got, err := c.Prune(t.Context(), dryRun)
			if err != nil || got != want || want.Files == want.Messages {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
	}
	if left := files(t, c.dir); len(left) > 0 {
		t.Errorf("files %q are left, want none", left)
	}
}
