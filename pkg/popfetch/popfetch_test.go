package popfetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// mess is a message of a maildrop.
type mess struct {
	id, text string
	size     int // what LIST says; 0: the truth
}

// drop is a POP3 server with one maildrop, whose ids and sizes are as a test wants them.
type drop struct {
	messages []mess
	noUIDL   bool
	noTOP    bool
	refused  string // a command line that is refused
	deaf     bool   // QUIT is not answered, and deletes
	lies     bool   // QUIT says it has deleted, and has not
	retrs    int
}

func (d *drop) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	r, w := bufio.NewReader(c), bufio.NewWriter(c)
	marked := map[int]bool{}
	fmt.Fprint(w, "+OK\r\n")
	for w.Flush() == nil {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		if line == "QUIT" {
			d.quit(w, marked)
			return
		}
		fmt.Fprint(w, d.answer(line, marked))
	}
}

func (d *drop) quit(w *bufio.Writer, marked map[int]bool) {
	var left []mess
	for i, m := range d.messages {
		if !marked[i+1] || d.lies {
			left = append(left, m)
		}
	}
	d.messages = left
	if !d.deaf {
		fmt.Fprint(w, "+OK\r\n")
	}
	_ = w.Flush()
}

func (d *drop) answer(line string, marked map[int]bool) string {
	var verb string
	var n, lines int
	_, _ = fmt.Sscanf(line, "%s %d %d", &verb, &n, &lines)
	switch {
	case line == d.refused, verb == "UIDL" && d.noUIDL, verb == "TOP" && d.noTOP:
		return "-ERR no\r\n"
	case verb == "CAPA" && d.noTOP:
		return "+OK\r\nUSER\r\n.\r\n"
	case verb == "CAPA":
		return "+OK\r\nUSER\r\nTOP\r\nPIPELINING\r\n.\r\n"
	case verb == "LIST" || verb == "UIDL":
		text := "+OK\r\n"
		for i, m := range d.messages {
			if m.size == 0 {
				m.size = len(m.text)
			}
			text += fmt.Sprintf("%d %s\r\n", i+1, map[string]string{"LIST": fmt.Sprint(m.size), "UIDL": m.id}[verb])
		}
		return text + ".\r\n"
	case verb == "RETR":
		d.retrs++
		return "+OK\r\n" + d.messages[n-1].text + ".\r\n"
	case verb == "TOP":
		head, _, _ := strings.Cut(d.messages[n-1].text, "\r\n\r\n")
		return "+OK\r\n" + head + "\r\n\r\n.\r\n"
	case verb == "DELE":
		marked[n] = true
	}
	return "+OK\r\n"
}

// rig is a maildrop, a destination and what is remembered.
type rig struct {
	t      *testing.T
	drop   drop
	state  string
	dest   string // "": a destination that cannot be read back
	said   []string
	refuse string       // the text of a message that the destination does not take
	disk   disk         // of the state; nil: the file system
	plain  bool         // the destination commits before it takes more
	commit func() error // before each commit; may be nil
	added  func()       // after each message that the destination took; may be nil
}

func newRig(t *testing.T, messages ...mess) *rig {
	t.Helper()
	dir := memoryDir(t)
	return &rig{t: t, drop: drop{messages: messages}, state: filepath.Join(dir, "state"), dest: filepath.Join(dir, "box")}
}

// run fetches once and tells what became of each message: "stored 1".
func (r *rig) run(o Options) (events []string, err error) {
	r.t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if c, err := l.Accept(); err == nil {
			r.drop.serve(c)
		}
	}()
	defer func() { _ = l.Close(); <-served }()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	port := l.Addr().(*net.TCPAddr).Port
	client, err := pop3.Dial(ctx, wire.Endpoint{Protocol: wire.POP3, Host: "127.0.0.1", Port: port, Security: wire.Cleartext}, nil)
	if err == nil {
		defer func() { _ = client.Close() }()
		err = client.Auth(ctx, &auth.Credentials{User: "alice", Password: auth.Literal("s3kret")})
	}
	if err != nil {
		r.t.Fatal(err)
	}
	d := r.disk
	if d == nil {
		d = osDisk{}
	}
	st, err := openStateOn(d, r.state)
	if err != nil {
		return nil, err
	}
	r.drop.retrs, r.said = 0, nil
	r.complete(&o, func(e Event) error {
		name := [...]string{"stored", "present", "skipped", "refused", "deleted"}[e.Kind]
		events = append(events, fmt.Sprintf("%s %d", name, e.Number))
		return nil
	})
	err = Run(ctx, client, st, o)
	return events, errors.Join(err, st.Close())
}

// complete fills in what all runs have.
func (r *rig) complete(o *Options, event func(Event) error) {
	o.Event = event
	o.Note = func(format string, args ...any) { r.said = append(r.said, fmt.Sprintf(format, args...)) }
	o.Open = func() (store.Batch, error) {
		if r.dest == "" {
			sink, err := store.OpenSink("-", store.SinkOptions{Stdout: io.Discard, Many: true})
			return sink.Batch(), err
		}
		sink, err := store.OpenSink("maildir:"+r.dest, store.SinkOptions{})
		if err != nil {
			return nil, err
		}
		c := &choosy{sink.Batch(), sink, r}
		if r.plain {
			return c, nil
		}
		return &detaching{c}, nil
	}
	if r.dest != "" {
		o.Existing = func() iter.Seq2[*store.Message, error] { return store.ReadMaildir(r.dest) }
	}
}

// choosy refuses one message.
type choosy struct {
	store.Batch
	sink store.Sink
	r    *rig
}

func (c *choosy) Add(ctx context.Context, wire io.Reader, m store.Meta) error {
	text, err := io.ReadAll(wire)
	if err == nil && c.r.refuse != "" && string(text) == c.r.refuse {
		err = &RefusedError{errors.New("not this one")}
	}
	if err == nil {
		err = c.Batch.Add(ctx, strings.NewReader(string(text)), m)
	}
	if err == nil && c.r.added != nil {
		c.r.added()
	}
	return err
}

func (c *choosy) Commit(ctx context.Context) ([]string, error) {
	if c.r.commit != nil {
		if err := c.r.commit(); err != nil {
			return nil, errors.Join(err, c.Batch.Close())
		}
	}
	return c.Batch.Commit(ctx)
}

func (c *choosy) Close() error { return errors.Join(c.Batch.Close(), c.sink.Close()) }

// detaching is a choosy one that is a store.Detacher.
type detaching struct{ *choosy }

func (d *detaching) Detach() store.Batch {
	return &detached{&choosy{d.Batch.(store.Detacher).Detach(), nil, d.r}}
}

// detached leaves the sink open.
type detached struct{ *choosy }

func (d *detached) Close() error { return d.Batch.Close() }

// want runs once and compares what became of the messages.
func (r *rig) want(o Options, want ...string) {
	r.t.Helper()
	got, err := r.run(o)
	if err != nil || !slices.Equal(got, want) {
		r.t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// texts are those at the destination, sorted.
func (r *rig) texts() (got []string) {
	r.t.Helper()
	for m, err := range store.ReadMaildir(r.dest) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			r.t.Fatal(err)
		}
		text, err := io.ReadAll(m.Wire())
		if err != nil {
			r.t.Fatal(err)
		}
		got = append(got, string(text))
	}
	slices.Sort(got)
	return got
}

// holds compares the texts at the destination.
func (r *rig) holds(want ...string) {
	r.t.Helper()
	got := r.texts()
	if slices.Sort(want); !slices.Equal(got, want) {
		r.t.Errorf("the destination has %q, want %q", got, want)
	}
}

const (
	textA = "Subject: a\r\n\r\nfirst\r\n"
	textB = "Subject: b\r\n\r\nsecond\r\n"
	textC = "Subject: c\r\n\r\nthird\r\n"
)

func TestR1_KnownAndNew(t *testing.T) {
	r := newRig(t, mess{id: "A", text: textA}, mess{id: "B", text: textB})
	r.want(Options{}, "stored 1", "stored 2")
	r.want(Options{})
	r.drop.messages = append(r.drop.messages[1:], mess{id: "C", text: textC}) // another client has deleted A
	r.want(Options{Delete: true}, "stored 2", "deleted 1", "deleted 2")
	r.want(Options{Delete: true})
	r.holds(textA, textB, textC)
	if s := openState(t, r.state); len(s.all()) != 0 {
		t.Errorf("got %q in the state, want nothing", keysOf(s))
	}
}

func TestR1_AnswerToQuitIsLost(t *testing.T) {
	r := newRig(t, mess{id: "A", text: textA}, mess{id: "B", text: textB})
	r.drop.deaf = true
	events, err := r.run(Options{Delete: true})
	var commit *pop3.CommitError
	if want := []string{"stored 1", "stored 2"}; !errors.As(err, &commit) || !slices.Equal(events, want) {
		t.Errorf("got %q, %v; want %q and a *pop3.CommitError", events, err, want)
	}
	r.drop.deaf = false
	r.want(Options{Delete: true})
	r.holds(textA, textB)
}

func TestR1_ServerDidNotDelete(t *testing.T) {
	r := newRig(t, mess{id: "A", text: textA})
	r.drop.lies = true
	r.want(Options{Delete: true}, "stored 1", "deleted 1")
	r.drop.lies = false
	r.want(Options{Delete: true}, "present 1", "deleted 1")
	r.holds(textA)
}

// TestR1_TheSameAgain has a message come back, octet for octet, after the first was deleted: it is another one.
func TestR1_TheSameAgain(t *testing.T) {
	for _, noUIDL := range []bool{false, true} {
		r := newRig(t, mess{id: "A", text: textA})
		r.drop.noUIDL = noUIDL
		r.want(Options{Delete: true}, "stored 1", "deleted 1")
		r.drop.messages = []mess{{id: "A2", text: textA}}
		r.want(Options{Delete: true}, "stored 1", "deleted 1")
		r.holds(textA, textA)
	}
}

func TestR4_IdsThatAreUsedAgain(t *testing.T) {
	r := newRig(t, mess{id: "1", text: textA})
	r.want(Options{Delete: true}, "stored 1", "deleted 1")
	r.drop.messages = []mess{{id: "1", text: textC}} // after a deletion, of the same size
	r.want(Options{}, "stored 1")
	r.drop.messages = []mess{{id: "1", text: textB}} // another client has deleted the first
	r.want(Options{}, "stored 1")
	if len(r.said) != 1 || !strings.Contains(r.said[0], `its id "1" before`) {
		t.Errorf("got the words %q", r.said)
	}
	r.drop.messages = []mess{{id: "1", text: textB, size: 99}} // the server counts in another way now
	r.want(Options{}, "present 1")
	r.want(Options{})
	r.holds(textA, textB, textC)
}

func TestS12_IdsThatChange(t *testing.T) {
	r := newRig(t, mess{id: "A", text: textA}, mess{id: "B", text: textB})
	r.want(Options{}, "stored 1", "stored 2")
	r.drop.messages = []mess{{id: "x1", text: textA}, {id: "x2", text: textC}, {id: "x3", text: textB}}
	r.want(Options{}, "stored 2", "present 1", "present 3")
	r.want(Options{})
	r.holds(textA, textB, textC)
}

// TestS12_IdsThatAreNone is for malformed and ambiguous ids, and for servers without any.
func TestS12_IdsThatAreNone(t *testing.T) {
	for name, change := range map[string]func(*drop){
		"malformed": func(d *drop) { d.messages[0].id, d.messages[1].id = strings.Repeat("x", 71), "a b" },
		"the same":  func(d *drop) { d.messages[0].id, d.messages[1].id = "x", "x" },
		"no UIDL":   func(d *drop) { d.noUIDL = true },
		"no TOP":    func(d *drop) { d.noUIDL, d.noTOP = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, mess{id: "A", text: textA}, mess{id: "B", text: textB}, mess{id: "C", text: textC})
			r.want(Options{Limit: 1}, "stored 1") // by its id
			change(&r.drop)
			r.want(Options{}, "stored 2", "stored 3", "present 1")
			events, err := r.run(Options{})
			if !r.drop.noTOP && (err != nil || len(events) > 0 || r.drop.retrs > 0) {
				t.Errorf("got %q, %v and %d looks at what is known", events, err, r.drop.retrs)
			}
			r.drop.messages = append(r.drop.messages, r.drop.messages[1]) // the same text twice
			r.drop.messages[3].id = "D"
			events, err = r.run(Options{Delete: true})
			if deleted := strings.Count(strings.Join(events, " "), "deleted"); err != nil || deleted != 4 || len(r.drop.messages) > 0 {
				t.Errorf("got %q, %v; want four deleted", events, err)
			}
			r.holds(textA, textB, textB, textC)
		})
	}
}

// TestP5_KilledWhileStoring has a run die between the destination and the record.
func TestP5_KilledWhileStoring(t *testing.T) {
	r := newRig(t, mess{id: "A", text: textA}, mess{id: "B", text: textB})
	die := func() (err error) { // A is stored, B is not, and no record of either
		s := openState(t, r.state)
		sink, err := store.OpenSink("maildir:"+r.dest, store.SinkOptions{})
		if err == nil {
			_, err = sink.Put(context.Background(), strings.NewReader(textA), store.Meta{})
		}
		return errors.Join(err, sink.Close(), s.announce([]*entry{entryOf("A", 1), entryOf("B", 2)}), s.release())
	}
	if err := die(); err != nil {
		t.Fatal(err)
	}
	r.want(Options{Limit: 1}, "stored 2", "present 1")
	r.holds(textA, textB)
	if len(r.said) != 1 || !strings.Contains(r.said[0], "does not tell how the last run ended") {
		t.Errorf("got the words %q", r.said)
	}
	r.want(Options{})
	if err := die(); err != nil {
		t.Fatal(err)
	}
	r.drop.messages = append(r.drop.messages, mess{id: "A2", text: textA}, mess{id: "C", text: textC})
	r.want(Options{Delete: true}, "stored 4", "present 3", "deleted 1", "deleted 2", "deleted 3", "deleted 4")
	if len(r.said) != 1 {
		t.Errorf("got the words %q", r.said)
	}
	r.holds(textA, textA, textB, textC)
}

func TestP5_StateIsLost(t *testing.T) {
	r := newRig(t, mess{id: "A", text: textA}, mess{id: "B", text: textB})
	r.want(Options{}, "stored 1", "stored 2")
	first := r.state
	r.state += "2"
	r.drop.messages = append(r.drop.messages, mess{id: "C", text: textC})
	r.want(Options{Limit: 1}, "stored 3", "present 1", "present 2")
	r.want(Options{})
	r.holds(textA, textB, textC)
	r.state, r.dest = first+"3", ""
	r.want(Options{}, "stored 1", "stored 2", "stored 3")
	if r.said != nil {
		t.Errorf("got the words %q about a first run", r.said)
	}
}

func TestFetch_KeepSizeLimit(t *testing.T) {
	r := newRig(t, mess{id: "A", text: textA}, mess{id: "B", text: textB + strings.Repeat("x\r\n", 100)}, mess{id: "C", text: textC})
	day := 24 * time.Hour
	now := time.Unix(1_800_000_000, 0)
	o := Options{Delete: true, KeepFor: 2 * day, MaxSize: 100, Limit: 1, Now: func() time.Time { return now }}
	r.want(o, "skipped 2", "stored 1")
	now = now.Add(day)
	r.want(o, "skipped 2", "stored 3")
	o.DryRun, o.MaxSize = true, 0
	r.want(o, "stored 2")
	o.DryRun = false
	now = now.Add(day)
	r.want(o, "stored 2", "deleted 1")
	now = now.Add(-10 * day) // a clock that was wrong
	r.want(o)
	now = now.Add(12 * day)
	r.want(o, "deleted 1", "deleted 2")
}

func TestFetch_Refusals(t *testing.T) {
	r := newRig(t, mess{id: "A", text: textA}, mess{id: "B", text: textB}, mess{id: "C", text: textC})
	r.refuse, r.drop.refused = textA, "RETR 2"
	events, err := r.run(Options{Delete: true})
	var incomplete *IncompleteError
	want := []string{"refused 1", "refused 2", "stored 3", "deleted 3"}
	if !errors.As(err, &incomplete) || incomplete.Refused != 2 || !reflect.DeepEqual(events, want) || !strings.Contains(err.Error(), "not this one") {
		t.Errorf("got %q, %v; want %q", events, err, want)
	}
	r.refuse, r.drop.refused = "", "DELE 1"
	events, err = r.run(Options{Delete: true})
	want = []string{"stored 1", "stored 2", "refused 1", "deleted 2"}
	if !errors.As(err, &incomplete) || incomplete.Refused != 1 || !reflect.DeepEqual(events, want) {
		t.Errorf("got %q, %v; want %q", events, err, want)
	}
	r.drop.refused = ""
	r.want(Options{Delete: true}, "deleted 1")
	r.holds(textA, textB, textC)
}

// TestR1_CommitBesideFetch has a destination that commits a message when it has taken the next one.
func TestR1_CommitBesideFetch(t *testing.T) {
	r := newRig(t, mess{id: "A", text: textA}, mess{id: "B", text: textB}, mess{id: "C", text: textC})
	var added, commits atomic.Int32
	r.added = func() { added.Add(1) }
	r.commit = func() error {
		want := min(commits.Add(1)+1, 3)
		for end := time.Now().Add(30 * time.Second); added.Load() < want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				return fmt.Errorf("%d messages were taken meanwhile, want %d", added.Load(), want)
			}
		}
		return nil
	}
	r.want(Options{Batch: 1, Delete: true}, "stored 1", "stored 2", "stored 3", "deleted 1", "deleted 2", "deleted 3")
	r.holds(textA, textB, textC)
}

// TestR1_CommitFails has each commit in turn fail: what it was to store stays on the server, and the next run stores it.
func TestR1_CommitFails(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for fails := range 3 {
			r := newRig(t, mess{id: "A", text: textA}, mess{id: "B", text: textB}, mess{id: "C", text: textC})
			commits := 0
			r.plain = plain
			r.commit = func() error {
				if commits++; commits == fails+1 {
					return syscall.ENOSPC
				}
				return nil
			}
			_, err := r.run(Options{Batch: 1, Delete: true})
			var ours *LocalError
			if !errors.As(err, &ours) || !errors.Is(err, syscall.ENOSPC) || len(r.drop.messages) != 3 {
				t.Errorf("commit %d, plain %v: got %v, %d left on the server", fails+1, plain, err, len(r.drop.messages))
			}
			if got := r.texts(); slices.Contains(got, []string{textA, textB, textC}[fails]) {
				t.Errorf("commit %d, plain %v: %q are stored", fails+1, plain, got)
			}
			r.commit = nil
			if events, err := r.run(Options{Delete: true}); err != nil || len(r.drop.messages) != 0 {
				t.Errorf("commit %d, plain %v: the next run: %q, %v", fails+1, plain, events, err)
			}
			r.holds(textA, textB, textC)
		}
	}
}
