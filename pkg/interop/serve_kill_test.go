package interop

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// killedMessage is a message that tells its name and whether it is whole. Trace fields
// may stand before it.
func killedMessage(name string, size int) string {
	rest := strings.Repeat(name+"\r\n", 1+size/(len(name)+2))
	return fmt.Sprintf("X-Kill: %s %x\r\nSubject: %s\r\n\r\n%s", name, sha256.Sum256([]byte(rest)), name, rest)
}

func killedName(text string) (name string, whole bool) {
	head, rest, _ := strings.Cut(text, "\r\n\r\n")
	_, field, _ := strings.Cut("\r\n"+head, "\r\nX-Kill: ")
	field, _, _ = strings.Cut(field, "\r\n")
	name, sum, _ := strings.Cut(field, " ")
	return name, sum == fmt.Sprintf("%x", sha256.Sum256([]byte(rest)))
}

// presence is what must be true of a message in a mailbox.
type presence int

const (
	absent presence = iota
	perhaps
	present
)

// fate is what was promised for a message. Places are "user/mailbox".
type fate struct {
	at     map[string]presence
	one    bool     // it is in exactly one place: it is being moved
	allOr  bool     // it is in all places or none: one SMTP transaction, not acknowledged
	flags  []string // in all places
	unsure bool     // flags are not known
}

// ledger has the fates of all messages by name.
type ledger struct {
	mu    sync.Mutex
	fates map[string]*fate
	acked int
}

func (l *ledger) set(name string, change func(*fate)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.fates[name]
	if f == nil {
		f = &fate{at: map[string]presence{}}
		l.fates[name] = f
	}
	change(f)
}

// try notes a change before it is asked for, and what it came to if it was acknowledged.
func (l *ledger) try(name string, before, after func(*fate), do func() error) error {
	l.set(name, before)
	err := do()
	if err == nil {
		l.set(name, func(f *fate) { f.one, f.allOr = false, false; after(f) })
		l.mu.Lock()
		l.acked++
		l.mu.Unlock()
	}
	return err
}

func put(p presence, places ...string) func(*fate) {
	return func(f *fate) {
		for _, place := range places {
			f.at[place] = p
		}
	}
}

// killRig is a server that is killed again and again, and what it promised.
type killRig struct {
	t     testing.TB
	dir   string
	cmd   *exec.Cmd
	ready struct{ SMTP, LMTP, POP3, IMAP string }
	told  *ledger
	seen  map[string]*killedBox // by place
	round int
	words *strings.Builder // stderr
}

// killedBox is what was seen of a mailbox.
type killedBox struct {
	validity uint32
	next     imap.UID
	modSeq   uint64
	names    map[imap.UID]string // also those that are gone
}

var killedUsers = []string{"alice", "bob", "carol"}

func (r *killRig) start() {
	r.t.Helper()
	args := []string{"serve", "--dir", r.dir, "--smtp", "127.0.0.1:0", "--lmtp", "127.0.0.1:0", "--pop3", "127.0.0.1:0", "--imap", "127.0.0.1:0", "--allow-cleartext-login"}
	for _, u := range killedUsers {
		args = append(args, "--user", u+":sesame")
	}
	r.cmd, r.words = exec.Command(Binary(r.t), args...), new(strings.Builder)
	r.cmd.Stderr = r.words
	r.cmd.Env = append(os.Environ(), "TMPDIR="+r.t.TempDir())
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), &r.ready)
	}
	if err != nil {
		r.kill()
		r.t.Fatalf("round %d: the server says %q, %v\n%s", r.round, line, err, r.words)
	}
}

func (r *killRig) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait() // killed
}

func (r *killRig) smtp(ctx context.Context, lmtp, noChunking bool) (*smtp.Client, error) {
	proto, addr := wire.SMTP, r.ready.SMTP
	if lmtp {
		proto, addr = wire.LMTP, r.ready.LMTP
	}
	c, err := smtp.Dial(ctx, endpoint(r.t, proto, addr, wire.Cleartext), &smtp.Options{NoChunking: noChunking})
	if err == nil && !lmtp {
		err = c.Auth(ctx, credentials(User{Name: "alice", Password: "sesame"}, "PLAIN"))
	}
	return c, err
}

func (r *killRig) imap(ctx context.Context, user string) (*imap.Client, error) {
	c, err := imap.Dial(ctx, endpoint(r.t, wire.IMAP, r.ready.IMAP, wire.Cleartext), nil)
	if err == nil {
		err = c.Auth(ctx, credentials(User{Name: user, Password: "sesame"}, "PLAIN"))
	}
	return c, err
}

// killSize makes most messages small and some large.
func killSize() int { return 1 << rand.IntN(17) }

// sendBoth sends to two users, all or nothing.
func (r *killRig) sendBoth(ctx context.Context, name string, noChunking bool) error {
	c, err := r.smtp(ctx, false, noChunking)
	if err != nil {
		return err
	}
	defer c.Close()
	places := []string{"alice/INBOX", "bob/INBOX"}
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s-%d", name, i)
		before := func(f *fate) { put(perhaps, places...)(f); f.allOr = true }
		err := r.told.try(name, before, put(present, places...), func() error {
			env := &smtp.Envelope{From: sender, Rcpt: []string{"alice@example.org", "bob@example.org"}}
			_, err := c.Send(ctx, env, strings.NewReader(killedMessage(name, killSize())))
			return err
		})
		if err != nil {
			return err
		}
	}
}

// sendLMTP sends to two users, each with a reply of its own.
func (r *killRig) sendLMTP(ctx context.Context, name string, _ bool) error {
	c, err := r.smtp(ctx, true, false)
	if err != nil {
		return err
	}
	defer c.Close()
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s-%d", name, i)
		places := []string{"bob/INBOX", "alice/INBOX"}
		r.told.set(name, put(perhaps, places...))
		result, err := c.Send(ctx, &smtp.Envelope{From: sender, Rcpt: []string{"bob@example.org", "alice@example.org"}}, strings.NewReader(killedMessage(name, killSize())))
		for k, rcpt := range result.Rcpt {
			if rcpt.Err == nil && (err == nil || rcpt.Reply.Code == 250) {
				_ = r.told.try(name, func(*fate) {}, put(present, places[k]), func() error { return nil })
			}
		}
		if err != nil {
			return err
		}
	}
}

// useIMAP appends, copies, moves, flags and expunges.
func (r *killRig) useIMAP(ctx context.Context, name string, _ bool) error {
	c, err := r.imap(ctx, "alice")
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err = c.Select(ctx, "INBOX", nil); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if err := r.imapStep(ctx, c, fmt.Sprintf("%s-%d", name, i)); err != nil {
			return err
		}
	}
}

func (r *killRig) imapStep(ctx context.Context, c *imap.Client, name string) error {
	var uid imap.UID
	text := killedMessage(name, killSize())
	flagged := func(flags ...string) func(*fate) {
		return func(f *fate) { f.flags, f.unsure = flags, false }
	}
	err := r.told.try(name, func(f *fate) { put(perhaps, "alice/INBOX")(f); flagged(`\flagged`, "start")(f) }, put(present, "alice/INBOX"), func() error {
		data, err := c.Append(ctx, "INBOX", int64(len(text)), strings.NewReader(text), &imap.AppendOptions{Flags: []imap.Flag{`\Flagged`, "start"}})
		if err == nil {
			uid = data.UID
		}
		return err
	})
	if err != nil {
		return err
	}
	set := imapwire.SetOf(uid)
	err = r.told.try(name, func(f *fate) { f.unsure = true }, flagged(`\seen`, "work"), func() error {
		return c.Store(ctx, set, imap.SetFlags, []imap.Flag{`\Seen`, "work"})
	})
	if err != nil {
		return err
	}
	switch rand.IntN(4) {
	case 0:
		return r.told.try(name, put(perhaps, "alice/Archive"), put(present, "alice/Archive"), func() error {
			_, err := c.Copy(ctx, set, "Archive")
			return err
		})
	case 1:
		before := func(f *fate) { put(perhaps, "alice/INBOX", "alice/Sent")(f); f.one = true }
		after := func(f *fate) { put(absent, "alice/INBOX")(f); put(present, "alice/Sent")(f) }
		return r.told.try(name, before, after, func() error {
			_, err := c.Move(ctx, set, "Sent")
			return err
		})
	}
	err = r.told.try(name, func(f *fate) { f.unsure = true }, flagged(`\deleted`), func() error {
		return c.Store(ctx, set, imap.SetFlags, []imap.Flag{`\Deleted`})
	})
	if err != nil {
		return err
	}
	return r.told.try(name, put(perhaps, "alice/INBOX"), put(absent, "alice/INBOX"), func() error {
		_, err := c.UIDExpunge(ctx, set)
		return err
	})
}

// multiAppend appends five messages with each command.
func (r *killRig) multiAppend(ctx context.Context, name string, _ bool) error {
	c, err := r.rawIMAP(ctx, "bob")
	if err != nil {
		return err
	}
	defer c.Close()
	for i := 0; ; i++ {
		text, names := "APPEND Archive", []string(nil)
		for k := range 5 {
			one := fmt.Sprintf("%s-%d-%d", name, i, k)
			body := killedMessage(one, killSize())
			text += fmt.Sprintf(" {%d+}\r\n%s", len(body), body)
			names = append(names, one)
			r.told.set(one, put(perhaps, "bob/Archive"))
		}
		if err := c.command(text); err != nil {
			return err
		}
		for _, one := range names {
			_ = r.told.try(one, func(*fate) {}, put(present, "bob/Archive"), func() error { return nil })
		}
	}
}

// rawIMAP is a connection for commands that package imap does not send.
type rawIMAP struct {
	net.Conn
	in *bufio.Reader
}

func (r *killRig) rawIMAP(ctx context.Context, user string) (*rawIMAP, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", r.ready.IMAP)
	if err != nil {
		return nil, err
	}
	c := &rawIMAP{conn, bufio.NewReader(conn)}
	if err := c.command("LOGIN " + user + " sesame"); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// command sends one command and waits for its end.
func (c *rawIMAP) command(text string) error {
	if _, err := io.WriteString(c, "a "+text+"\r\n"); err != nil {
		return err
	}
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return err
		}
		if rest, tagged := strings.CutPrefix(line, "a "); tagged && !strings.HasPrefix(rest, "OK") {
			return fmt.Errorf("%.40q: refused: %s", text, line)
		} else if tagged {
			return nil
		}
	}
}

// usePOP3 delivers to a user of its own and deletes some of it.
func (r *killRig) usePOP3(ctx context.Context, name string, _ bool) error {
	for i := 0; ; i++ {
		if err := r.feedPOP3(ctx, fmt.Sprintf("%s-%d", name, i)); err != nil {
			return err
		}
		c, err := pop3.Dial(ctx, endpoint(r.t, wire.POP3, r.ready.POP3, wire.Cleartext), nil)
		if err != nil {
			return err
		}
		err = r.popStep(ctx, c)
		_ = c.Close()
		if err != nil {
			return err
		}
	}
}

func (r *killRig) feedPOP3(ctx context.Context, name string) error {
	c, err := r.smtp(ctx, false, true)
	if err != nil {
		return err
	}
	defer c.Close()
	for k := range 3 {
		name := fmt.Sprintf("%s-%d", name, k)
		err := r.told.try(name, put(perhaps, "carol/INBOX"), put(present, "carol/INBOX"), func() error {
			_, err := c.Send(ctx, &smtp.Envelope{From: sender, Rcpt: []string{"carol@example.org"}}, strings.NewReader(killedMessage(name, killSize())))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *killRig) popStep(ctx context.Context, c *pop3.Client) error {
	if err := c.Auth(ctx, credentials(User{Name: "carol", Password: "sesame"}, "PLAIN")); err != nil {
		return err
	}
	list, err := c.Uidl(ctx)
	if err != nil {
		return err
	}
	var all []int
	for _, one := range list[:min(2, len(list))] {
		all = append(all, one.Number)
	}
	var names []string
	err = c.Retr(ctx, all, func(_ int, _ int64, body io.Reader) error {
		text, err := io.ReadAll(body)
		if name, whole := killedName(string(text)); err == nil && !whole {
			r.t.Errorf("POP3: %q is not whole", name)
		} else if err == nil {
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) == 0 {
		return err
	}
	if err := c.Dele(ctx, all); err != nil {
		return err
	}
	for _, name := range names {
		r.told.set(name, put(perhaps, "carol/INBOX"))
	}
	if err := c.Quit(ctx); err != nil {
		return err
	}
	for _, name := range names {
		_ = r.told.try(name, func(*fate) {}, put(absent, "carol/INBOX"), func() error { return nil })
	}
	return nil
}

// work lets all clients work until the server is killed.
func (r *killRig) work() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for name, client := range map[string]func(context.Context, string, bool) error{
		"data": r.sendBoth, "bdat": r.sendBoth, "lmtp": r.sendLMTP, "imap": r.useIMAP, "imap2": r.useIMAP, "multi": r.multiAppend, "pop": r.usePOP3,
	} {
		all.Go(func() {
			err := client(ctx, fmt.Sprintf("%s-%d", name, r.round), name == "data")
			if _, ok := errors.AsType[*smtp.Error](err); ok || ctx.Err() != nil || strings.Contains(err.Error(), "refused: ") {
				r.t.Errorf("%s: %v", name, err)
			}
		})
	}
	time.Sleep(time.Duration(rand.IntN(300_000)) * time.Microsecond)
	r.kill()
	all.Wait()
}

// check compares all mailboxes with what was promised. What was not sure is settled by
// that: it must not change any more.
func (r *killRig) check(whole bool) {
	r.t.Helper()
	ctx := limit(r.t)
	found := map[string]map[string][]string{} // name, place, flags
	for _, user := range killedUsers {
		c, err := r.imap(ctx, user)
		if err != nil {
			r.t.Fatal(err)
		}
		boxes, err := c.List(ctx, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, box := range boxes {
			r.look(ctx, c, user, box.Name, whole, found)
		}
		_ = c.Close()
	}
	for name, f := range r.told.fates {
		r.checkFate(name, f, found[name])
		delete(found, name)
	}
	for name, at := range found {
		r.t.Errorf("%q came from nowhere: %v", name, at)
	}
}

// look reads a mailbox: messages that were not seen before to their end, with whole all.
func (r *killRig) look(ctx context.Context, c *imap.Client, user, name string, whole bool, found map[string]map[string][]string) {
	r.t.Helper()
	place := user + "/" + name
	state, err := c.Examine(ctx, name, &imap.SelectOptions{CondStore: true})
	if err != nil {
		r.t.Fatal(err)
	}
	known := r.seen[place]
	if known == nil {
		known = &killedBox{validity: state.UIDValidity, names: map[imap.UID]string{}}
		r.seen[place] = known
	}
	if state.UIDValidity != known.validity || state.UIDNext < known.next || state.HighestModSeq < known.modSeq {
		r.t.Errorf("%s was %d, %d, %d and is %+v", place, known.validity, known.next, known.modSeq, state)
	}
	known.next, known.modSeq = state.UIDNext, state.HighestModSeq
	if state.Exists == 0 {
		return
	}
	var fresh imap.UIDSet
	flags := map[imap.UID][]string{}
	all, err := imapwire.ParseUIDSet("1:*")
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = c.Fetch(ctx, all, &imap.FetchOptions{Flags: true}, func(m *imap.Message) error {
		if _, ok := known.names[m.UID]; !ok || whole {
			fresh.Add(m.UID)
		}
		list := []string{}
		for _, f := range m.Flags {
			if f := strings.ToLower(string(f)); f != `\recent` {
				list = append(list, f)
			}
		}
		slices.Sort(list)
		flags[m.UID] = list
		return nil
	})
	if err == nil && !fresh.Empty() {
		_, err = c.Fetch(ctx, fresh, &imap.FetchOptions{Sections: []imap.Section{{}}}, func(m *imap.Message) error {
			return r.read(place, known, m)
		})
	}
	if err != nil {
		r.t.Fatalf("%s: %v", place, err)
	}
	for uid, list := range flags {
		name := known.names[uid]
		if found[name] == nil {
			found[name] = map[string][]string{}
		}
		if _, twice := found[name][place]; twice {
			r.t.Errorf("%q is twice in %s", name, place)
		}
		found[name][place] = list
	}
}

func (r *killRig) read(place string, known *killedBox, m *imap.Message) error {
	body, err := m.Next()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	name, whole := killedName(string(text))
	if !whole {
		r.t.Errorf("%s: UID %d, %q, is not whole: %.200q", place, m.UID, name, text)
	}
	if was, ok := known.names[m.UID]; ok && was != name {
		r.t.Errorf("%s: UID %d was %q and is %q", place, m.UID, was, name)
	}
	known.names[m.UID] = name
	return nil
}

func (r *killRig) checkFate(name string, f *fate, at map[string][]string) {
	r.t.Helper()
	got := slices.Sorted(maps.Keys(at))
	for place, p := range f.at {
		_, there := at[place]
		if p == present && !there || p == absent && there {
			r.t.Errorf("%s: is in %q, want %v", name, got, f.at)
		}
		if f.at[place] = absent; there {
			f.at[place] = present
		}
	}
	for place, flags := range at {
		if _, ok := f.at[place]; !ok {
			r.t.Errorf("%s: is in %s too", name, place)
		}
		if f.unsure {
			f.flags, f.unsure = flags, len(at) > 1
		} else if !slices.Equal(flags, f.flags) {
			r.t.Errorf("%s: in %s with flags %q, want %q", name, place, flags, f.flags)
		}
	}
	if f.one && len(got) != 1 || f.allOr && len(got) != 0 && len(got) != len(f.at) {
		r.t.Errorf("%s: is in %q, half of it", name, got)
	}
	f.one, f.allOr = false, false
}

// TestServeKill kills the server with clients of all kinds at work, many times, and looks
// each time whether what it has acknowledged holds: messages there, whole, once and with
// the right flags, or gone; UIDs, UIDVALIDITY and mod-sequences as they were.
// MAIL_SOAK=1 makes it longer.
func TestServeKill(t *testing.T) {
	rounds, deadline := 40, time.Now().Add(2*time.Minute)
	switch {
	case os.Getenv("MAIL_SOAK") != "":
		rounds, deadline = 300, time.Now().Add(time.Hour)
	case testing.Short():
		rounds = 8
	}
	r := &killRig{t: t, dir: t.TempDir() + "/mail", told: &ledger{fates: map[string]*fate{}}, seen: map[string]*killedBox{}}
	for r.round = 0; r.round < rounds && !t.Failed() && time.Now().Before(deadline); r.round++ {
		r.start()
		if r.check(false); !t.Failed() {
			r.work()
		} else {
			r.kill()
		}
	}
	r.start()
	defer r.kill()
	r.check(true)
	if t.Failed() {
		t.Fatalf("in round %d\n%s", r.round, r.words)
	}
	t.Logf("%d kills, %d messages, %d promises", r.round, len(r.told.fates), r.told.acked)
	if r.told.acked < r.round {
		t.Error("next to nothing was done between the kills")
	}
}

// BenchmarkServeDurable tells how many messages of 2 kB a second are taken in that are on
// disk when they are acknowledged.
func BenchmarkServeDurable(b *testing.B) {
	text := killedMessage("bench", 1950)
	for _, conns := range []int{1, 16} {
		b.Run(fmt.Sprintf("smtp-%d", conns), func(b *testing.B) {
			r := &killRig{t: b, dir: b.TempDir() + "/mail"}
			r.start()
			defer r.kill()
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			todo := make(chan struct{}, b.N)
			for range b.N {
				todo <- struct{}{}
			}
			close(todo)
			clients := make([]*smtp.Client, conns)
			for i := range clients {
				var err error
				if clients[i], err = r.smtp(ctx, false, false); err != nil {
					b.Fatal(err)
				}
				defer clients[i].Close()
			}
			var all sync.WaitGroup
			b.ResetTimer()
			for _, c := range clients {
				all.Go(func() {
					for range todo {
						if _, err := c.Send(ctx, &smtp.Envelope{From: sender, Rcpt: []string{"alice@example.org"}}, strings.NewReader(text)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}
