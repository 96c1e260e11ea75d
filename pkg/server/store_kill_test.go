package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// killDir in the environment makes the test binary the process that is killed.
const killDir = "MAIL_TEST_STORE_KILL_DIR"

// sealed makes a body that tells whether it is whole: a name, a digest of the rest,
// and the rest.
func sealed(name string, size int) string {
	rest := strings.Repeat(name+"\r\n", 1+size/(len(name)+2))
	return fmt.Sprintf("%s %x\r\n%s", name, sha256.Sum256([]byte(rest)), rest)
}

// unseal returns the name of a body that is whole.
func unseal(body string) (string, bool) {
	head, rest, _ := strings.Cut(body, "\r\n")
	name, sum, _ := strings.Cut(head, " ")
	return name, sum == fmt.Sprintf("%x", sha256.Sum256([]byte(rest)))
}

// TestStoreKillChild is no test of its own: it changes a store until it is killed,
// and says on stdout what it was told is done.
func TestStoreKillChild(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		t.Skip("run by TestMaildir_Kill9 only")
	}
	s, err := OpenMaildir(dir)
	mustDo(t, err)
	a := testAccount(t, s)
	in := testMailbox(t, a, "INBOX")
	run := fmt.Sprint("r", time.Now().UnixNano())
	var out sync.Mutex
	say := func(what, name string) {
		out.Lock()
		defer out.Unlock()
		if _, err := fmt.Println(what, name); err != nil {
			os.Exit(1)
		}
	}
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				killStep(t, a, in, say, fmt.Sprintf("%s-%d-%d", run, w, i))
			}
		})
	}
	wg.Wait()
}

// killStep appends three messages at once and one alone, flags, moves and expunges.
func killStep(t *testing.T, a Account, in Mailbox, say func(what, name string), name string) {
	var three []NewMessage
	for k := range 3 {
		three = append(three, NewMessage{Body: strings.NewReader(sealed(fmt.Sprint(name, "-t", k), 3000))})
	}
	infos, err := in.Append(context.Background(), three)
	mustDo(t, err)
	for k := range 3 {
		say("has", fmt.Sprint(name, "-t", k))
	}
	_, err = in.SetFlags([]uint32{infos[0].UID}, func(MessageInfo) ([]string, bool) { return []string{`\Seen`, "k"}, true })
	mustDo(t, err)
	say("flagged", name+"-t0")
	infos, err = in.Append(context.Background(), []NewMessage{
		{Body: strings.NewReader(sealed(name+"-m", 100))}, {Body: strings.NewReader(sealed(name+"-x", 70_000))}})
	mustDo(t, err)
	_, err = a.Move(context.Background(), in, []uint32{infos[0].UID}, testMailbox(t, a, "Archive"))
	mustDo(t, err)
	say("moved", name+"-m")
	_, err = in.Expunge([]uint32{infos[1].UID})
	mustDo(t, err)
	say("gone", name+"-x")
}

// TestMaildir_Kill9 kills a process that changes a store, many times, and looks each
// time whether all that it was told is done holds: messages there, whole, once; those
// that belong together all there or none.
func TestMaildir_Kill9(t *testing.T) {
	if os.Getenv(killDir) != "" {
		t.Skip("the process that is killed")
	}
	dir := t.TempDir()
	told := map[string]string{} // the last that was said of a message
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		for _, line := range killOnce(t, dir) {
			what, name, ok := strings.Cut(line, " ")
			if ok && name != "" {
				told[name] = what
			}
		}
		checkKilled(t, dir, told)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	if len(told) < 5*rounds {
		t.Errorf("only %d messages were made", len(told))
	}
	t.Logf("%d messages", len(told))
}

// killOnce runs the process for a moment and returns the lines that it got out.
func killOnce(t *testing.T, dir string) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestStoreKillChild$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), killDir+"="+dir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stdout, err := cmd.StdoutPipe()
	mustDo(t, err)
	mustDo(t, cmd.Start())
	r := bufio.NewReader(stdout)
	first, err := r.ReadString('\n')
	time.Sleep(time.Duration(rand.IntN(150_000)) * time.Microsecond)
	mustDo(t, cmd.Process.Kill())
	rest, _ := io.ReadAll(r)
	_ = cmd.Wait() // killed
	if err != nil || !strings.HasPrefix(first, "has ") {
		t.Fatalf("the process says %q, %v\n%s%s", first, err, rest, errs.String())
	}
	text := first + string(rest)
	return strings.Split(text[:strings.LastIndexByte(text, '\n')], "\n")
}

func checkKilled(t *testing.T, dir string, told map[string]string) {
	t.Helper()
	s, err := OpenMaildir(dir)
	mustDo(t, err)
	a := testAccount(t, s)
	where, seen := map[string][]string{}, map[string]bool{}
	for _, name := range []string{"INBOX", "Archive"} {
		m := testMailbox(t, a, name)
		for _, i := range m.Messages() {
			id, whole := unseal(storedBody(t, m, i.UID))
			if !whole {
				t.Errorf("%s UID %d is not whole", name, i.UID)
			}
			where[id] = append(where[id], name)
			seen[id] = len(i.Flags) == 2
		}
	}
	for id, at := range where {
		if len(at) != 1 {
			t.Errorf("%s is in %q", id, at)
		}
		if base, k, ok := strings.Cut(id, "-t"); ok && k == "0" && (len(where[base+"-t1"]) != 1 || len(where[base+"-t2"]) != 1) {
			t.Errorf("%s came alone", id)
		}
	}
	for id, what := range told {
		got, want := fmt.Sprint(where[id]), "[INBOX]"
		switch what {
		case "moved":
			want = "[Archive]"
		case "gone":
			want = "[]"
		case "flagged":
			if !seen[id] {
				t.Errorf("%s has lost its flags", id)
			}
		}
		if got != want {
			t.Errorf("%s, %s: in %s, want %s", id, what, got, want)
		}
	}
	mustDo(t, s.Close())
	if left, err := os.ReadDir(dir + "/" + userFolder("alice@example.org") + "/tmp"); err != nil || len(left) > 0 {
		t.Errorf("%d files are left in tmp, %v", len(left), err)
	}
}
