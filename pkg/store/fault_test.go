//go:build linux

package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The faults in this file are made to happen: by a limit on file sizes, a full
// file system, missing permissions, and a killed process. Where that takes another
// process, the test binary runs itself with this variable set.
const helperEnv = "MAIL_STORE_TEST_HELPER"

func TestMain(m *testing.M) {
	switch dest := os.Getenv("MAIL_STORE_TEST_DEST"); os.Getenv(helperEnv) {
	case "":
		os.Exit(m.Run())
	case "put":
		helperPut(dest)
	case "batch":
		helperBatch(dest)
	case "limit":
		helperLimit(dest)
	case "open":
		helperOpen(dest)
	case "convert":
		helperConvert(dest)
	case "dedupe":
		helperDedupe(dest)
	}
}

func helper(t *testing.T, mode, dest string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Skip("cannot run itself: ", err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), helperEnv+"="+mode, "MAIL_STORE_TEST_DEST="+dest)
	cmd.Stderr = os.Stderr
	return cmd
}

// summed is a message that tells whether it is whole.
func summed(size int) string {
	body := bytes.Repeat([]byte("From here on, a line\r\n>From there\r\n"), size/36+1)
	sum := sha256.Sum256(body)
	return "X-Sum: " + hex.EncodeToString(sum[:]) + "\r\nX-Id: " + strconv.FormatUint(rand.Uint64(), 36) + "\r\n\r\n" + string(body)
}

// whole checks a message of summed.
func whole(wire string) bool {
	head, body, ok := strings.Cut(wire, "\r\n\r\n")
	sum := sha256.Sum256([]byte(body))
	return ok && strings.HasPrefix(head, "X-Sum: "+hex.EncodeToString(sum[:])+"\r\n")
}

// id is the X-Id of a message of summed.
func id(wire string) string {
	_, rest, _ := strings.Cut(wire, "X-Id: ")
	id, _, _ := strings.Cut(rest, "\r\n")
	return id
}

// helperPut puts messages until it is killed, and prints the id of each when it
// is durable.
func helperPut(dest string) {
	s, err := OpenSink(dest, SinkOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
	for {
		m := summed(1 << rand.IntN(18))
		if _, err := s.Put(context.Background(), strings.NewReader(m), Meta{Flags: []string{`\Seen`}[:rand.IntN(2)]}); err != nil {
			fmt.Fprintln(os.Stderr, "helper:", err)
			os.Exit(1)
		}
		fmt.Println(id(m))
	}
}

// helperBatch is helperPut with batches.
func helperBatch(dest string) {
	s, err := OpenSink(dest, SinkOptions{})
	for err == nil {
		b := s.Batch()
		var ids []string
		for range 1 + rand.IntN(40) {
			m := summed(1 << rand.IntN(15))
			err = errors.Join(err, b.Add(context.Background(), strings.NewReader(m), Meta{Flags: []string{`\Seen`}[:rand.IntN(2)]}))
			ids = append(ids, id(m))
		}
		if err == nil {
			_, err = b.Commit(context.Background())
		}
		if err == nil {
			fmt.Println(strings.Join(ids, "\n"))
		}
	}
	fmt.Fprintln(os.Stderr, "helper:", err)
	os.Exit(1)
}

// TestP5_Kill kills a writing process at random moments, over and over. All that
// it reported is there and whole, nothing else is half there, and the next process
// goes on.
func TestP5_Kill(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 3
	}
	for _, mode := range []string{"put", "batch"} {
		for name, k := range kinds(t) {
			t.Run(mode+" "+name, func(t *testing.T) { testKill(t, k, mode, rounds) })
		}
	}
}

func testKill(t *testing.T, k kind, mode string, rounds int) {
	reported := map[string]bool{}
	for range rounds {
		for _, id := range runKilled(t, mode, k.dest, 20*time.Millisecond) {
			reported[id] = true
		}
	}
	put(t, open(t, k.dest, SinkOptions{}), summed(10), Meta{}) // the next run repairs
	seen := map[string]bool{}
	for _, wire := range wires(t, k.read()) {
		if !whole(wire) {
			t.Errorf("half a message of %d octets: %.40q", len(wire), wire)
		}
		if seen[id(wire)] {
			t.Errorf("message %s twice", id(wire))
		}
		seen[id(wire)] = true
	}
	for id := range reported {
		if !seen[id] {
			t.Errorf("message %s was reported and is lost", id)
		}
	}
	t.Logf("%d reported, %d found", len(reported), len(seen))
	if len(reported) < rounds {
		t.Errorf("only %d messages in %d rounds", len(reported), rounds)
	}
}

// runKilled starts a helper, kills it at a random moment within some time after its
// first report, and returns what it reported.
func runKilled(t *testing.T, mode, dest string, within time.Duration) []string {
	t.Helper()
	cmd := helper(t, mode, dest)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer guard.Stop()
	var ids []string
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			break
		}
		if len(ids) == 0 {
			time.AfterFunc(rand.N(within), func() { _ = cmd.Process.Kill() })
		}
		ids = append(ids, strings.TrimSpace(line))
	}
	_ = cmd.Wait() // killed
	return ids
}

// helperConvert converts the mbox beside dest, and prints a line when it begins and one for each message.
func helperConvert(dest string) {
	_, path, _ := strings.Cut(dest, ":")
	src, err := OpenSource("mbox:" + path + ".source")
	fmt.Println("begun")
	if err == nil {
		_, err = Convert(context.Background(), src, dest, ConvertOptions{Stored: func(_, name string) error {
			fmt.Println(name)
			return nil
		}})
	}
	fmt.Fprintln(os.Stderr, "helper:", err)
}

// TestP5_ConvertKilled kills a conversion over and over, at random moments. The one that is let through leaves each message once.
func TestP5_ConvertKilled(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 2
	}
	for name, k := range kinds(t) {
		_, path, _ := strings.Cut(k.dest, ":")
		source := "mbox:" + path + ".source"
		var want []string
		b := open(t, source, SinkOptions{}).Batch()
		for range 3*convertMessages + 10 {
			want = append(want, summed(1<<rand.IntN(13)))
			if err := b.Add(context.Background(), strings.NewReader(want[len(want)-1]), Meta{Flags: []string{`\Seen`, "work"}[:rand.IntN(3)]}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
		stored := 0
		for range rounds {
			stored = max(stored, len(runKilled(t, "convert", k.dest, 300*time.Millisecond))-1)
		}
		src, err := OpenSource(source)
		if err != nil {
			t.Fatal(err)
		}
		done, err := Convert(context.Background(), src, k.dest, ConvertOptions{})
		if err != nil || done.Stored+done.Already != len(want) {
			t.Errorf("%s: got %+v, %v; want %d in all", name, done, err, len(want))
		}
		compare(t, wires(t, k.read()), want, true)
		t.Logf("%s: at most %d at once, %d in the end", name, stored, done.Stored)
	}
}

// TestP5_MboxRecover cuts an append at every octet, as a killed process may leave
// it.
func TestP5_MboxRecover(t *testing.T) {
	dir := memoryDir(t)
	path := filepath.Join(dir, "mbox")
	s := open(t, "mbox:"+path, SinkOptions{})
	put(t, s, "first\r\n", Meta{})
	before, _ := os.ReadFile(path)
	put(t, s, "second\r\nFrom x\r\n", Meta{})
	after, _ := os.ReadFile(path)
	j := newJournal(path)
	if err := j.begin(osDisk{}, int64(len(before)), int64(len(after)), after[len(before):min(len(after), len(before)+journalHead)]); err != nil {
		t.Fatal(err)
	}
	record, _ := os.ReadFile(j.path)
	_ = j.close()
	check := func(name string, file, journal, want []byte) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, file, 0o600), os.WriteFile(j.path, journal, 0o600)); err != nil {
			t.Fatal(err)
		}
		s, err := OpenSink("mbox:"+path, SinkOptions{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = s.Close()
		if got, _ := os.ReadFile(path); !bytes.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		if _, err := os.Stat(j.path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: journal is still there", name)
		}
	}
	for n := len(before); n <= len(after); n++ {
		want := before
		if n == len(after) {
			want = after
		}
		check(fmt.Sprintf("cut at %d", n), after[:n], record, want)
	}
	zeros := append(bytes.Clone(before), make([]byte, 20)...)
	check("zeros of a lost write", zeros, record, before)
	other := append(bytes.Clone(before), "From eve Mon Jan  1 00:00:00 2024\nx"...)
	check("rewritten by another program", other, record, other)
	shorter := before[:len(before)-3]
	check("shortened by another program", shorter, record, shorter)
	for n := 1; n < len(record); n++ {
		check(fmt.Sprintf("journal torn at %d", n), after, record[:n], after)
	}
}

// helperLimit puts a message over the limit on file sizes, then one below it.
func helperLimit(dest string) {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := OpenSink(dest, SinkOptions{})
	if err == nil {
		_, err = s.Put(context.Background(), strings.NewReader(summed(1000)), Meta{})
	}
	if err == nil {
		err = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100000, Max: 100000})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
	_, err = s.Put(context.Background(), strings.NewReader(summed(300000)), Meta{})
	fmt.Println(errors.Is(err, syscall.EFBIG), err)
	_, err = s.Put(context.Background(), strings.NewReader(summed(1000)), Meta{})
	fmt.Println(err)
}

func TestL1_FileSizeLimit(t *testing.T) {
	for name, k := range kinds(t) {
		out, err := helper(t, "limit", k.dest).Output()
		if err != nil || !strings.HasPrefix(string(out), "true ") || !strings.HasSuffix(string(out), "\n<nil>\n") {
			t.Errorf("%s: got %q, %v", name, out, err)
		}
		got := wires(t, k.read())
		if len(got) != 2 || !whole(got[0]) || !whole(got[1]) {
			t.Errorf("%s: got %d messages, want 2 whole ones", name, len(got))
		}
		if strings.Contains(listing(t, k.dest), "tmp") {
			t.Errorf("%s: temporary file left: %s", name, listing(t, k.dest))
		}
	}
}

// TestL1_FullDisk fills a small file system with messages of many sizes.
func TestL1_FullDisk(t *testing.T) {
	for _, kind := range []string{"maildir", "mbox", "eml"} {
		dir := t.TempDir()
		if err := syscall.Mount("mail-test", dir, "tmpfs", 0, "size=256k"); err != nil {
			t.Skip("cannot mount a small file system: ", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		path := filepath.Join(dir, "x")
		s := open(t, kind+":"+path, SinkOptions{})
		stored, refused := 0, 0
		for i := range 200 {
			_, err := s.Put(context.Background(), strings.NewReader(summed(1+i*307%40000)), Meta{})
			switch {
			case err == nil:
				stored++
			case errors.Is(err, syscall.ENOSPC):
				refused++
			default:
				t.Errorf("%s: got %v, want ENOSPC", kind, err)
			}
		}
		if stored == 0 || refused == 0 {
			t.Errorf("%s: %d stored, %d refused: the disk was not filled", kind, stored, refused)
		}
		var got []string
		switch kind {
		case "maildir":
			got = wires(t, ReadMaildir(path))
		case "eml":
			got = wires(t, ReadEML(path))
		default:
			data, _ := os.ReadFile(path)
			got = wires(t, ReadMbox(bytes.NewReader(data)))
		}
		for _, wire := range got {
			if !whole(wire) {
				t.Errorf("%s: half a message of %d octets", kind, len(wire))
			}
		}
		if len(got) != stored {
			t.Errorf("%s: %d messages there, %d reported", kind, len(got), stored)
		}
		if left := listing(t, kind+":"+path); strings.Contains(left, ".tmp") || strings.Contains(left, "/tmp/1") {
			t.Errorf("%s: temporary file left: %s", kind, left)
		}
	}
}

// helperOpen opens a sink and puts a message.
func helperOpen(dest string) {
	s, err := OpenSink(dest, SinkOptions{})
	if err == nil {
		_, err = s.Put(context.Background(), strings.NewReader("a\r\n"), Meta{})
	}
	fmt.Println(errors.Is(err, os.ErrPermission), err)
}

// TestL1_NoPermission runs as somebody who may not write.
func TestL1_NoPermission(t *testing.T) {
	dir, err := os.MkdirTemp("", "mail-store-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, kind := range []string{"maildir", "mbox", "eml"} {
		path := filepath.Join(dir, kind)
		s := open(t, kind+":"+path, SinkOptions{})
		put(t, s, "a\r\n", Meta{})
		_ = s.Close()
	}
	if err := errors.Join(os.Chmod(dir, 0o555), filepath.Walk(dir, func(p string, st os.FileInfo, err error) error {
		if err == nil && p != dir {
			err = os.Chmod(p, st.Mode().Perm()&0o100|0o444|st.Mode().Perm()&0o100>>3|st.Mode().Perm()&0o100>>6)
		}
		return err
	})); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	for _, dest := range []string{"maildir:" + dir + "/maildir", "mbox:" + dir + "/mbox", "eml:" + dir + "/eml", "maildir:" + dir + "/n1", "mbox:" + dir + "/n2", "eml:" + dir + "/n3"} {
		cmd := helper(t, "open", dest)
		if os.Getuid() == 0 {
			exe := filepath.Join(t.TempDir(), "x")
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			if err := copyForAll(cmd.Path, exe); err != nil {
				t.Skip("cannot run as another user: ", err)
			}
			cmd.Path = exe
			cmd.Dir = "/"
		}
		out, err := cmd.Output()
		if errors.Is(err, os.ErrPermission) {
			t.Skip("cannot run as another user: ", err)
		}
		if err != nil || !strings.HasPrefix(string(out), "true ") {
			t.Errorf("%s: got %q, %v", dest, out, err)
		}
	}
}

// copyForAll copies a program to where everybody may run it.
func copyForAll(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	for d := filepath.Dir(to); d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		err = errors.Join(err, os.Chmod(d, 0o755))
	}
	return errors.Join(err, dst.Close())
}

// TestMboxWithoutJournal: a spool directory that allows no other file.
func TestMboxWithoutJournal(t *testing.T) {
	path := filepath.Join(memoryDir(t), "mbox")
	s := open(t, "mbox:"+path, SinkOptions{}).(*mbox)
	s.j.off = true
	put(t, s, "a\r\n", Meta{})
	if _, err := s.Put(context.Background(), io.MultiReader(strings.NewReader("b"), errReader{}), Meta{}); err == nil {
		t.Error("broken message accepted")
	}
	put(t, s, "c\r\n", Meta{})
	f, _ := os.Open(path)
	defer f.Close()
	compare(t, wires(t, ReadMbox(f)), []string{"a\r\n", "c\r\n"}, false)
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("broken") }
