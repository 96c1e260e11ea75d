package imap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// threadWire writes threads as a server does.
func threadWire(list []*Thread) string {
	var b strings.Builder
	for _, t := range list {
		b.WriteString("(")
		putThread(&b, t)
		b.WriteString(")")
	}
	return b.String()
}

func putThread(b *strings.Builder, t *Thread) {
	if t.UID != 0 {
		fmt.Fprint(b, uint32(t.UID))
		if len(t.Replies) == 1 && t.Replies[0].UID != 0 {
			b.WriteString(" ")
			putThread(b, t.Replies[0])
			return
		}
		if len(t.Replies) > 0 {
			b.WriteString(" ")
		}
	}
	for _, r := range t.Replies {
		b.WriteString("(")
		putThread(b, r)
		b.WriteString(")")
	}
}

// FuzzThread reads threads, writes them and reads them again: the trees are the same, and hold no more messages and
// places than the mailbox.
func FuzzThread(f *testing.F) {
	for _, s := range []string{"(2)(3 6 (4 23)(44 7 96))", "((3)(5))", "(1 ((2)(3)))", "(1(2)(3 (4)))", "((((1))))"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		const most = 1000
		read := func(text string) ([]*Thread, error) {
			r := &threadReader{left: most, dummies: most}
			d := imapwire.NewTextDecoder([]byte(text))
			r.read(d)
			return r.found, d.Err()
		}
		list, err := read(text)
		if err != nil {
			return
		}
		n, empty := 0, false
		for _, one := range list {
			one.Walk(func(t *Thread, _ int) { n++; empty = empty || t.UID == 0 && len(t.Replies) == 0 })
		}
		if n > 2*most {
			t.Errorf("%d messages and places", n)
		}
		if empty { // "(())" stands for nothing
			return
		}
		back, err := read(threadWire(list))
		if err != nil || threadText(back) != threadText(list) {
			t.Errorf("%q: %q came back as %q, %v", text, threadText(list), threadText(back), err)
		}
	})
}

// FuzzESearch reads a result, writes it and reads it again.
func FuzzESearch(f *testing.F) {
	for _, s := range []string{`(TAG "A1") UID MIN 3 MAX 90 COUNT 7`, "UID ALL 1:3,9", "PARTIAL (-1:-2 NIL) MODSEQ 7", "UID PARTIAL (1:2 4:5) X (a b)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s SearchData
		d := imapwire.NewTextDecoder([]byte(text))
		s.decode(d)
		if d.Err() != nil {
			return
		}
		again := "UID"
		if !s.UIDs.Empty() {
			again += " ALL " + s.UIDs.String()
		}
		if s.counted {
			again += fmt.Sprint(" COUNT ", s.Count)
		}
		if s.lowest {
			again += fmt.Sprint(" MIN ", uint32(s.Min))
		}
		if s.highest {
			again += fmt.Sprint(" MAX ", uint32(s.Max))
		}
		if s.ModSeq > 0 {
			again += fmt.Sprint(" MODSEQ ", s.ModSeq)
		}
		var back SearchData
		d = imapwire.NewTextDecoder([]byte(again))
		back.decode(d)
		if d.Err() != nil || fmt.Sprintf("%+v", back) != fmt.Sprintf("%+v", s) {
			t.Errorf("%q: %+v came back from %q as %+v, %v", text, s, again, back, d.Err())
		}
	})
}

// FuzzQuota reads a quota, writes it with the encoder and reads it again.
func FuzzQuota(f *testing.F) {
	f.Add(`"" (STORAGE 10 512)`)
	f.Add(`"a\"b" (MESSAGE 1 2 X-Y 0 9223372036854775807)`)
	f.Fuzz(func(t *testing.T, text string) {
		d := imapwire.NewTextDecoder([]byte(text))
		q := decodeQuota(d)
		if d.Err() != nil || strings.ContainsAny(q.Root, "\r\n\x00") || !isASCII(q.Root) || len(q.Root) > 1000 {
			return
		}
		again := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(q.Root) + `" (`
		for i, r := range q.Resources {
			if i > 0 {
				again += " "
			}
			again += fmt.Sprint(r.Name, " ", r.Usage, " ", r.Limit)
		}
		d = imapwire.NewTextDecoder([]byte(again + ")"))
		if back := decodeQuota(d); d.Err() != nil || fmt.Sprint(back) != fmt.Sprint(q) {
			t.Errorf("%q: %+v came back as %+v, %v", text, q, back, d.Err())
		}
	})
}

// FuzzWatch plays any octets to a watched mailbox. What is told makes sense: a message comes once and goes once.
func FuzzWatch(f *testing.F) {
	const begin = "* PREAUTH [CAPABILITY IMAP4rev1 IDLE] hi\r\n* 3 EXISTS\r\nT1 OK\r\n* SEARCH 1 2 3\r\nT2 OK\r\n"
	for _, s := range []string{
		"+ go\r\n* 4 EXISTS\r\nT3 OK\r\n* 4 FETCH (UID 9)\r\nT4 OK\r\n+ \r\n* 1 EXPUNGE\r\nT5 OK\r\n",
		"+ go\r\n* VANISHED 1:2\r\n* 1 FETCH (UID 3 FLAGS (a))\r\nT3 OK\r\n",
		"+ go\r\n* 4 EXISTS\r\nT3 OK\r\n* 4 FETCH (UID 1)\r\nT4 OK\r\n",
		"+ go\r\n* 0 EXPUNGE\r\nT3 OK\r\n* SEARCH 1 3\r\n* 2 EXISTS\r\nT4 OK\r\n",
		"+ go\r\n* 7 UIDFETCH (FLAGS ())\r\n* VANISHED (EARLIER) 3\r\n* STATUS a (UIDNEXT 4)\r\n* LIST () NIL b\r\nT3 OK\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, replies string) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		peer := &cutPeer{rest: []byte(begin + replies), chunk: 1 << 20}
		c, err := NewClient(ctx, wire.NewConn(peer, nil), &Options{Tag: "T", Limits: &imapwire.Limits{Line: 10_000, Body: 10_000, Literal: 1000}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.conn.Close()
		if _, err := c.Select(ctx, "INBOX", nil); err != nil {
			t.Fatal(err)
		}
		there := map[UID]bool{1: true, 2: true, 3: true}
		err = c.Watch(ctx, &WatchOptions{For: time.Second}, func(e Event) error {
			if e.UIDs.Count() > 1<<20 {
				t.Fatalf("%d messages", e.UIDs.Count())
			}
			for uid := range e.UIDs.All() {
				if come := e.Kind == EventNew; e.Kind != EventFlags && there[uid] == come {
					t.Errorf("%v %d of %q", e.Kind, uid, replies)
				}
				there[uid] = e.Kind != EventGone
			}
			return nil
		})
		if ctx.Err() != nil {
			t.Errorf("took too long: %v", err)
		}
	})
}

// FuzzResync plays any octets to a Resync: New, Vanished and what is known fit together.
func FuzzResync(f *testing.F) {
	const begin = "* PREAUTH [CAPABILITY IMAP4rev1 ENABLE QRESYNC CONDSTORE] hi\r\nT1 OK\r\n"
	f.Add("* 2 EXISTS\r\n* OK [UIDVALIDITY 7]\r\n* OK [HIGHESTMODSEQ 9]\r\n* VANISHED (EARLIER) 1:2\r\n* 2 FETCH (UID 9 FLAGS ())\r\nT2 OK\r\n")
	f.Add("* 2 EXISTS\r\n* OK [UIDVALIDITY 8]\r\nT2 OK\r\n* SEARCH 4 5\r\nT3 OK\r\n")
	f.Add("T2 BAD\r\n* 2 EXISTS\r\n* OK [UIDVALIDITY 7]\r\nT3 OK\r\n* SEARCH 1 5\r\nT4 OK\r\n* 1 FETCH (UID 1 FLAGS (x))\r\nT5 OK\r\n")
	f.Fuzz(func(t *testing.T, replies string) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		peer := &cutPeer{rest: []byte(begin + replies), chunk: 1 << 20}
		c, err := NewClient(ctx, wire.NewConn(peer, nil), &Options{Tag: "T", Limits: &imapwire.Limits{Line: 10_000, Body: 10_000, Literal: 1000}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.conn.Close()
		known := uids(t, "1:3")
		told := map[UID]bool{}
		ch, err := c.Resync(ctx, "INBOX", State{UIDValidity: 7, ModSeq: 5, Known: known}, &ResyncOptions{Changed: func(f FlagChange) error {
			if told[f.UID] || !known.Contains(f.UID) {
				t.Errorf("flags of %d of %q", f.UID, replies)
			}
			told[f.UID] = true
			return nil
		}})
		if err != nil {
			return
		}
		after := known.Minus(ch.Vanished)
		if ch.Reset {
			after = UIDSet{}
		}
		after.AddSet(ch.New)
		if after.String() != ch.State.Known.String() || !ch.New.Minus(ch.State.Known).Empty() {
			t.Errorf("%q: known %v, new %v, vanished %v, now %v", replies, known, ch.New, ch.Vanished, ch.State.Known)
		}
	})
}

// rawPeer reads commands as a server does that takes literals without being asked, and says OK to each.
type rawPeer struct {
	cutPeer
	commands []string // with their literals in their places
	parts    []string // of the command under way
	in       []byte
	need     int // octets of a literal that are to come; -1: a line is
}

func (p *rawPeer) Write(b []byte) (int, error) {
	p.in = append(p.in, b...)
	for {
		if p.need >= 0 {
			if len(p.in) < p.need {
				return len(b), nil
			}
			p.parts, p.in, p.need = append(p.parts, string(p.in[:p.need])), p.in[p.need:], -1
		}
		line, rest, found := strings.Cut(string(p.in), "\r\n")
		if !found {
			return len(b), nil
		}
		p.in = []byte(rest)
		p.parts = append(p.parts, line)
		if m := announced.FindStringSubmatch(line); m != nil {
			p.need, _ = strconv.Atoi(m[1])
			if m[2] == "" {
				p.rest = append(p.rest, "+ go\r\n"...)
			}
			continue
		}
		tag, _, _ := strings.Cut(p.parts[0], " ")
		p.rest = fmt.Appendf(p.rest, "%s OK done\r\n", tag)
		p.commands, p.parts = append(p.commands, strings.Join(p.parts, "|")), nil
	}
}

var announced = regexp.MustCompile(`\{(\d+)(\+?)\} *$`)

// FuzzRaw sends a line that a person typed, with a literal in its place. A server must see that one command, as it was
// typed, or nothing at all; and none behind which the connection would be another one.
func FuzzRaw(f *testing.F) {
	for _, line := range []string{"NOOP", "X {-} y", "uid login", " login a b", "STARTTLS", "a\r\nb LOGOUT", "X {3}", "X {3+}", "X {3+} ", "{-}", "X {-}{-}",
		"idle{-}", "X \"{3}\"", "X ~{3}", "X\x00", "compress\tdeflate", "idle{-", "X {-}}\x00-", "X (y {9999999999}", "X {03+}"} {
		f.Add(line, "a\r\n", true)
		f.Add(line, "", false)
	}
	f.Fuzz(func(t *testing.T, line, body string, plus bool) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		greeting := "* PREAUTH [CAPABILITY IMAP4rev1] hi\r\n"
		if plus {
			greeting = "* PREAUTH [CAPABILITY IMAP4rev1 LITERAL+] hi\r\n"
		}
		peer := &rawPeer{cutPeer: cutPeer{rest: []byte(greeting), chunk: 1 << 20}, need: -1}
		c, err := NewClient(ctx, wire.NewConn(peer, nil), &Options{Tag: "T"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.conn.Close()
		texts := strings.Split(line, "{-}")
		var literals []RawLiteral
		want := "T1 " + texts[0]
		for _, text := range texts[1:] {
			literals = append(literals, RawLiteral{int64(len(body)), strings.NewReader(body)})
			announcement := fmt.Sprintf("{%d}", len(body))
			if plus {
				announcement = fmt.Sprintf("{%d+}", len(body))
			}
			want += announcement + "|" + body + "|" + text
		}
		var argument *wire.ArgumentError
		switch _, err := c.Raw(ctx, texts, literals, io.Discard); {
		case errors.As(err, &argument):
			if len(peer.commands) > 0 || len(peer.parts) > 0 || len(peer.in) > 0 {
				t.Fatalf("%q: %v, but the server got %q %q %q", line, err, peer.commands, peer.parts, peer.in)
			}
		case err != nil:
			t.Fatalf("%q: %v", line, err)
		case len(peer.commands) != 1 || peer.commands[0] != want || len(peer.in) > 0:
			t.Fatalf("%q: the server got %q and %q, want %q", line, peer.commands, peer.in, want)
		case changesConnection.MatchString(peer.commands[0]):
			t.Fatalf("the server got %q", peer.commands[0])
		}
	})
}

var changesConnection = regexp.MustCompile(`(?i)^T1 *(STARTTLS|AUTHENTICATE|LOGIN|COMPRESS|IDLE)( |\||\{|$)`)
