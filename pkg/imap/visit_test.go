package imap

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// visits writes down what a VisitAll tells.
type visits struct {
	log  []string
	skip int                            // the visit whose messages are not wanted, from 1
	fail func(what string, i int) error // an error of the handler
	call func()                         // something a handler must not do
	done map[int]*Changes               // by number of the visit
	errs map[int]error                  // of Done
	body map[int]map[UID]string         // what came
}

func (v *visits) tell(what string, i int, args ...any) error {
	v.log = append(v.log, strings.TrimRight(fmt.Sprintf("%d %s %s", i, what, fmt.Sprint(args...)), " "))
	if v.call != nil {
		v.call()
	}
	if v.fail != nil {
		return v.fail(what, i)
	}
	return nil
}

func (v *visits) Opened(i int, s *SelectData) error {
	if err := v.tell("opened", i, s.UIDValidity, " ", s.Exists); err != nil {
		return err
	}
	if v.skip == i+1 {
		return ErrSkipVisit
	}
	return nil
}

func (v *visits) Message(i int, m *Message) error {
	text := ""
	for {
		b, err := m.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		raw, err := io.ReadAll(b)
		if err != nil {
			return err
		}
		text += string(raw)
	}
	if v.body == nil {
		v.body = map[int]map[UID]string{}
	}
	if v.body[i] == nil {
		v.body[i] = map[UID]string{}
	}
	v.body[i][m.UID] = text
	return v.tell("message", i, m.UID, " ", text)
}

func (v *visits) Changed(i int, f FlagChange) error { return v.tell("changed", i, f.UID, f.Flags) }

func (v *visits) Done(i int, ch *Changes, err error) error {
	if v.done == nil {
		v.done, v.errs = map[int]*Changes{}, map[int]error{}
	}
	if _, twice := v.done[i]; twice {
		return fmt.Errorf("visit %d ended twice", i)
	}
	v.done[i], v.errs[i] = ch, err
	if ch == nil {
		return v.tell("done", i, err)
	}
	reset := ""
	if ch.Reset {
		reset = " reset"
	}
	text := fmt.Sprintf("known %v new %v vanished %v%s", ch.State.Known, ch.New, ch.Vanished, reset)
	if err != nil {
		text += " " + err.Error()
	}
	return v.tell("done", i, text)
}

// check compares the log.
func (v *visits) check(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(v.log, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(v.log, "\n"), strings.Join(want, "\n"))
	}
}

// know is a state in which messages are known.
func know(t *testing.T, validity uint32, modseq uint64, set string) State {
	t.Helper()
	s := State{UIDValidity: validity, ModSeq: modseq}
	if set != "" {
		s.Known = uids(t, set)
	}
	return s
}

// TestVisitAll_Scripts compares what is sent, and what is told, with scripts. Visits are of a, b, c…; the commands of
// all of them are there before the first reply unless the script says so.
func TestVisitAll_Scripts(t *testing.T) {
	const condstore, quick = "IMAP4rev1 CONDSTORE ESEARCH", "IMAP4rev1 ENABLE CONDSTORE QRESYNC ESEARCH"
	five := know(t, 7, 90, "1:5")
	for _, tt := range []struct {
		name, caps string
		visits     []Visit
		skip       int
		script     string
		want       []string
	}{
		{"nothing known", "IMAP4rev1", []Visit{{}, {}}, 0, `
			C: $a EXAMINE a
			C: $b UID FETCH 1:4294967295 (UID BODY.PEEK[])
			C: $c EXAMINE b
			C: $d UID FETCH 1:4294967295 (UID BODY.PEEK[])
			S: * 2 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $a OK done
			S: * 1 FETCH (UID 3 BODY[] "x")
			S: * 2 FETCH (UID 9 BODY[] "y")
			S: $b OK done
			S: * 0 EXISTS
			S: * OK [UIDVALIDITY 8] ok
			S: $c OK done
			S: $d OK done`,
			[]string{"0 opened 7 2", "0 message 3 x", "0 message 9 y", "0 done known 3,9 new 3,9 vanished", "1 opened 8 0", "1 done known  new  vanished"}},
		{"refused in the middle, and the server stays where it was", "IMAP4rev1", []Visit{{}, {}, {}}, 0, `
			C: $a EXAMINE a
			C: $b UID FETCH *
			C: $c EXAMINE b
			C: $d UID FETCH *
			C: $e EXAMINE c
			C: $f UID FETCH *
			S: * 1 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $a OK done
			S: * 1 FETCH (UID 3 BODY[] "x")
			S: $b OK done
			S: $c NO [NONEXISTENT] no b
			S: * 1 FETCH (UID 3 BODY[] "x")
			S: * 1 EXPUNGE
			S: $d OK done
			S: * 0 EXISTS
			S: * OK [UIDVALIDITY 8] ok
			S: $e OK done
			S: $f NO [SERVERBUG] nothing to fetch`,
			[]string{"0 opened 7 1", "0 message 3 x", "0 done known 3 new 3 vanished", `1 done examine "b": NO [NONEXISTENT] no b`,
				"2 opened 8 0", "2 done known  new  vanished"}},
		{"QRESYNC", quick, []Visit{{Known: five}, {Known: know(t, 9, 90, "")}}, 0, `
			C: $a ENABLE QRESYNC
			C: $b EXAMINE a (QRESYNC (7 90 1:5))
			C: $c UID FETCH 6:4294967295 (UID BODY.PEEK[])
			C: $d EXAMINE b (CONDSTORE)
			C: $e UID FETCH 1:4294967295 (UID BODY.PEEK[])
			S: * ENABLED QRESYNC
			S: $a OK done
			S: * 5 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: * OK [HIGHESTMODSEQ 95] ok
			S: * VANISHED (EARLIER) 2
			S: * 3 FETCH (UID 4 FLAGS (\Seen) MODSEQ (93))
			S: * 5 FETCH (UID 6 FLAGS (\Seen) MODSEQ (94))
			S: $b OK done
			S: * 5 FETCH (UID 6 BODY[] "x")
			S: * VANISHED 3
			S: $c OK done
			S: * 3 FETCH (UID 5 FLAGS (\Seen))
			S: * OK [CLOSED] ok
			S: * 0 EXISTS
			S: * OK [UIDVALIDITY 9] ok
			S: * OK [HIGHESTMODSEQ 12] ok
			S: $d OK done
			S: $e OK done`,
			[]string{`0 changed 4 [\Seen]`, "0 opened 7 5", "0 message 6 x", "0 done known 1,4:6 new 6 vanished 2:3", "1 opened 9 0", "1 done known  new  vanished"}},
		{"CONDSTORE", condstore, []Visit{{Known: five}}, 0, `
			C: $a EXAMINE a (CONDSTORE)
			C: $b UID FETCH 1:5 (UID FLAGS) (CHANGEDSINCE 90)
			C: $c UID SEARCH RETURN (ALL) ALL
			C: $d UID FETCH 6:4294967295 (UID BODY.PEEK[])
			S: * 5 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: * OK [HIGHESTMODSEQ 95] ok
			S: $a OK done
			S: * 3 FETCH (UID 4 FLAGS (\Seen) MODSEQ (93))
			S: $b OK done
			S: * ESEARCH (TAG "${c}") UID ALL 1,3:6
			S: $c OK done
			S: * 5 FETCH (UID 6 BODY[] "x")
			S: $d OK done`,
			[]string{"0 opened 7 5", `0 changed 4 [\Seen]`, "0 message 6 x", "0 done known 1,3:6 new 6 vanished 2"}},
		{"CONDSTORE and labels", condstore + " QRESYNC ENABLE X-GM-EXT-1", []Visit{{Known: five, Labels: func(UID) ([]string, bool) { return []string{"a"}, true }}}, 0, `
			C: $a EXAMINE a (CONDSTORE)
			C: $b UID FETCH 1:5 (UID FLAGS X-GM-LABELS) (CHANGEDSINCE 90)
			C: $c UID SEARCH RETURN (ALL) ALL
			C: $d UID FETCH 6:4294967295 (UID BODY.PEEK[])
			S: * 5 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: * OK [HIGHESTMODSEQ 95] ok
			S: $a OK done
			S: * 3 FETCH (UID 4 FLAGS () X-GM-LABELS (b) MODSEQ (93))
			S: $b OK done
			S: * ESEARCH (TAG "${c}") UID ALL 1:5
			S: $c OK done
			S: $d OK done`,
			[]string{"0 opened 7 5", `0 changed 4 []`, "0 done known 1:5 new  vanished"}},
		{"neither, and a hole", "IMAP4rev1", []Visit{{Known: know(t, 7, 0, "2,4:5")}, {}}, 0, `
			C: $a EXAMINE a
			C: $b UID FETCH 2:5 (UID FLAGS)
			C: $c UID FETCH 6:4294967295 (UID BODY.PEEK[])
			C: $d EXAMINE b
			C: $e UID FETCH 1:4294967295 (UID BODY.PEEK[])
			S: * 4 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $a OK done
			S: * 1 FETCH (UID 2 FLAGS (\Seen))
			S: * 2 FETCH (UID 3 FLAGS ())
			S: * 3 FETCH (UID 4 FLAGS ())
			S: $b OK done
			S: * 4 FETCH (UID 6 BODY[] "x")
			S: $c OK done
			C: $f EXAMINE a
			C: $g UID FETCH 3 (UID BODY.PEEK[])
			S: * 0 EXISTS
			S: $d OK done
			S: $e OK done
			S: * 4 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $f OK done
			S: * 2 FETCH (UID 3 BODY[] "y")
			S: $g OK done`,
			[]string{"0 opened 7 4", `0 changed 2 [\Seen]`, "0 changed 4 []", "0 message 6 x", "1 opened 0 0", "1 done known  new  vanished  reset",
				"0 message 3 y", "0 done known 2:4,6 new 3,6 vanished 5"}},
		{"another UIDVALIDITY", quick, []Visit{{Known: five}}, 0, `
			C: $a ENABLE QRESYNC
			C: $b EXAMINE a (QRESYNC (7 90 1:5))
			C: $c UID FETCH 6:4294967295 (UID BODY.PEEK[])
			S: $a OK done
			S: * 2 EXISTS
			S: * OK [UIDVALIDITY 8] ok
			S: * VANISHED (EARLIER) 2
			S: * 3 FETCH (UID 4 FLAGS (\Seen) MODSEQ (93))
			S: $b OK done
			S: * 2 FETCH (UID 6 BODY[] "x")
			S: $c OK done
			C: $d EXAMINE a (CONDSTORE)
			C: $e UID FETCH 1:4294967295 (UID BODY.PEEK[])
			S: * 2 EXISTS
			S: * OK [UIDVALIDITY 8] ok
			S: $d OK done
			S: * 1 FETCH (UID 4 BODY[] "y")
			S: * 2 FETCH (UID 6 BODY[] "x")
			S: $e OK done`,
			[]string{"0 opened 8 2", "0 message 4 y", "0 message 6 x", "0 done known 4,6 new 4,6 vanished  reset"}},
		{"another UIDVALIDITY, not wanted", "IMAP4rev1", []Visit{{Known: know(t, 7, 0, "1")}}, 1, `
			C: $a EXAMINE a
			C: $b UID FETCH 1 (UID FLAGS)
			C: $c UID FETCH 2:4294967295 (UID BODY.PEEK[])
			S: * 1 EXISTS
			S: * OK [UIDVALIDITY 8] ok
			S: $a OK done
			S: * 1 FETCH (UID 1 FLAGS (\Seen))
			S: $b OK done
			S: * 1 FETCH (UID 6 BODY[] "x")
			S: $c OK done`,
			[]string{"0 opened 8 1", "0 done known  new  vanished  reset"}},
		{"another UIDVALIDITY each time", "IMAP4rev1", []Visit{{Known: know(t, 7, 0, "1")}}, 0, `
			C: $a EXAMINE a
			C: $b UID FETCH 1 (UID FLAGS)
			C: $c UID FETCH 2:4294967295 (UID BODY.PEEK[])
			S: * 1 EXISTS
			S: * OK [UIDVALIDITY 8] ok
			S: $a OK done
			S: $b OK done
			S: $c OK done
			C: $a EXAMINE a
			C: $b UID FETCH 1:4294967295 (UID BODY.PEEK[])
			S: * 2 EXISTS
			S: * OK [UIDVALIDITY 8] ok
			S: $a OK done
			S: * 1 FETCH (UID 6 BODY[] "x")
			S: $b OK done
			C: $a EXAMINE a
			S: * 1 EXISTS
			S: * OK [UIDVALIDITY 9] ok
			S: $a OK done
			C: $b UID SEARCH ALL
			S: * SEARCH 6
			S: $b OK done
			C: $c UID FETCH 6 (UID BODY.PEEK[])
			S: * 1 FETCH (UID 6 BODY[] "y")
			S: $c OK done`,
			[]string{"0 opened 8 1", "0 message 6 x", "0 opened 9 1", "0 message 6 y", "0 done known 6 new 6 vanished  reset"}},
		{"EXISTS lies", "IMAP4rev1", []Visit{{}}, 0, `
			C: $a EXAMINE a
			C: $b UID FETCH 1:4294967295 (UID BODY.PEEK[])
			S: * 3 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: * OK [UIDNEXT 2] ok
			S: $a OK done
			S: * 2 FETCH (UID 6 BODY[] "x")
			S: $b OK done
			C: $c EXAMINE a
			S: * 3 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $c OK done
			C: $d UID SEARCH ALL
			S: * SEARCH 6 8
			S: $d OK done
			C: $e UID FETCH 8 (UID BODY.PEEK[])
			S: $e OK done`,
			[]string{"0 opened 7 3", "0 message 6 x", "0 done known 6,8 new 6,8 vanished"}},
		{"expunge while fetching", "IMAP4rev1", []Visit{{Known: know(t, 7, 0, "1:2")}}, 0, `
			C: $a EXAMINE a
			C: $b UID FETCH 1:2 (UID FLAGS)
			C: $c UID FETCH 3:4294967295 (UID BODY.PEEK[])
			S: * 4 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $a OK done
			S: * 1 FETCH (UID 1 FLAGS ())
			S: * 2 FETCH (UID 2 FLAGS ())
			S: $b OK done
			S: * 4 FETCH (UID 4 BODY[] "x")
			S: * 3 EXPUNGE
			S: $c NO [EXPUNGEISSUED] some are gone`,
			[]string{"0 opened 7 4", "0 changed 1 []", "0 changed 2 []", "0 message 4 x", "0 done known 1:2,4 new 4 vanished"}},
		{"no octets for a message", "IMAP4rev1", []Visit{{}}, 0, `
			C: $a EXAMINE a
			C: $b UID FETCH 1:4294967295 (UID BODY.PEEK[])
			S: * 2 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $a OK done
			S: * 1 FETCH (UID 6 BODY[] NIL)
			S: * 2 FETCH (UID 7 BODY[] "x")
			S: $b OK done`,
			[]string{"0 opened 7 2", "0 message 7 x", "0 done known 6:7 new 6:7 vanished"}},
		{"some refused, and again", "IMAP4rev1", []Visit{{}}, 0, `
			C: $a EXAMINE a
			C: $b UID FETCH 1:4294967295 (UID BODY.PEEK[])
			S: * 2 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $a OK done
			S: * 2 FETCH (UID 7 BODY[] "x")
			S: $b NO [UNAVAILABLE] in a while
			C: $c EXAMINE a
			S: * 2 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $c OK done
			C: $d UID SEARCH ALL
			S: * SEARCH 6 7
			S: $d OK done
			C: $e UID FETCH 6 (UID BODY.PEEK[])
			S: $e NO [UNAVAILABLE] never`,
			[]string{"0 opened 7 2", "0 message 7 x", "0 done known 6:7 new 6:7 vanished  fetch: NO [UNAVAILABLE] never"}},
		{"a pause is wanted", "IMAP4rev1", []Visit{{}}, 0, `
			C: $a EXAMINE a
			C: $b UID FETCH 1:4294967295 (UID BODY.PEEK[])
			S: * 2 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $a OK done
			S: * 2 FETCH (UID 7 BODY[] "x")
			S: $b NO [THROTTLED] enough`,
			[]string{"0 opened 7 2", "0 message 7 x", "0 done fetch: NO [THROTTLED] enough"}},
		{"sets of one mailbox", "IMAP4rev1", []Visit{{Mailbox: "a", Set: uids(t, "1:2")}, {Mailbox: "a", Set: uids(t, "5"), Known: know(t, 7, 0, "1")},
			{Mailbox: "a", Set: uids(t, "5"), Known: know(t, 8, 0, "1")}}, 0, `
			C: $a EXAMINE a
			C: $b UID FETCH 1:2 (UID BODY.PEEK[])
			C: $c UID FETCH 5 (UID BODY.PEEK[])
			C: $d UID FETCH 5 (UID BODY.PEEK[])
			S: * 2 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $a OK done
			S: * 2 FETCH (UID 2 BODY[] "x")
			S: $b OK done
			S: * 3 FETCH (UID 5 BODY[] "y")
			S: $c OK done
			S: * 3 FETCH (UID 5 BODY[] "y")
			S: $d OK done`,
			[]string{"0 opened 7 2", "0 message 2 x", "0 done known  new 2 vanished", "1 opened 7 2", "1 message 5 y", "1 done known  new 5 vanished",
				"2 opened 7 2", "2 done known  new  vanished  reset"}},
		{"replies behind the messages of the next set", "IMAP4rev1", []Visit{{Mailbox: "a", Set: uids(t, "1:2")}, {Mailbox: "a", Set: uids(t, "5:6")}}, 0, `
			C: $a EXAMINE a
			C: $b UID FETCH 1:2 (UID BODY.PEEK[])
			C: $c UID FETCH 5:6 (UID BODY.PEEK[])
			S: * 4 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $a OK done
			S: * 1 FETCH (UID 1 BODY[] "w")
			S: * 3 FETCH (BODY[] "y" UID 5)
			S: * 2 FETCH (UID 2 BODY[] "x")
			S: * 4 FETCH (UID 6 BODY[] "z")
			S: $b OK done
			S: $c OK done`,
			[]string{"0 opened 7 4", "0 message 1 w", "1 opened 7 4", "1 message 5 y", "0 message 2 x", "1 message 6 z",
				"0 done known  new 1:2 vanished", "1 done known  new 5:6 vanished"}},
		{"QRESYNC not understood", quick, []Visit{{Known: five}}, 0, `
			C: $a ENABLE QRESYNC
			C: $b EXAMINE a (QRESYNC (7 90 1:5))
			C: $c UID FETCH 6:4294967295 (UID BODY.PEEK[])
			S: $a OK done
			S: $b BAD what
			S: $c BAD nothing is selected
			C: $d EXAMINE a (CONDSTORE)
			C: $e UID FETCH 1:5 (UID FLAGS) (CHANGEDSINCE 90)
			C: $f UID SEARCH RETURN (ALL) ALL
			C: $g UID FETCH 6:4294967295 (UID BODY.PEEK[])
			S: * 5 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: * OK [HIGHESTMODSEQ 90] ok
			S: $d OK done
			S: $e OK done
			S: * ESEARCH (TAG "${f}") UID ALL 1:5
			S: $f OK done
			S: $g OK done`,
			[]string{"0 opened 7 5", "0 done known 1:5 new  vanished"}},
		{"QRESYNC does not add up", quick, []Visit{{Known: five}}, 0, `
			C: $a ENABLE QRESYNC
			C: $b EXAMINE a (QRESYNC (7 90 1:5))
			C: $c UID FETCH 6:4294967295 (UID BODY.PEEK[])
			S: $a OK done
			S: * 3 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: * OK [HIGHESTMODSEQ 95] ok
			S: $b OK done
			S: $c OK done
			C: $d EXAMINE a (CONDSTORE)
			S: * 3 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: * OK [HIGHESTMODSEQ 95] ok
			S: $d OK done
			C: $e UID SEARCH RETURN (ALL) ALL
			S: * ESEARCH (TAG "${e}") UID ALL 3:5
			S: $e OK done
			C: $f UID FETCH 3:5 (UID FLAGS) (CHANGEDSINCE 90)
			S: * 1 FETCH (UID 3 FLAGS (\Seen))
			S: $f OK done`,
			[]string{"0 opened 7 3", `0 changed 3 [\Seen]`, "0 done known 3:5 new  vanished 1:2"}},
		{"UIDONLY", "IMAP4rev1 UIDONLY", []Visit{{Known: know(t, 7, 0, "1")}}, 0, `
			C: $a EXAMINE a
			C: $b UID FETCH 1 (UID FLAGS)
			C: $c UID FETCH 2:4294967295 (UID BODY.PEEK[])
			S: * 2 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $a OK done
			S: * 1 UIDFETCH (FLAGS (\Seen))
			S: $b OK done
			S: * 6 UIDFETCH (BODY[] "x")
			S: $c OK done`,
			[]string{"0 opened 7 2", `0 changed 1 [\Seen]`, "0 message 6 x", "0 done known 1,6 new 6 vanished"}},
		{"MESSAGELIMIT", "IMAP4rev1 MESSAGELIMIT=2", []Visit{{}, {Mailbox: "a", Set: uids(t, "2")}, {Mailbox: "a", Set: uids(t, "3")}}, 0, `
			C: $a EXAMINE a
			S: * 3 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $a OK done
			C: $b UID SEARCH ALL
			S: * SEARCH 1 2 3
			S: $b OK done
			C: $c UID SEARCH UID 1:3
			S: * SEARCH 1 2 3
			S: $c OK done
			C: $d UID FETCH 1:2 (UID BODY.PEEK[])
			C: $e UID FETCH 3 (UID BODY.PEEK[])
			S: * 1 FETCH (UID 1 BODY[] "x")
			S: * 2 FETCH (UID 2 BODY[] "y")
			S: $d OK done
			S: * 3 FETCH (UID 3 BODY[] "z")
			S: $e OK done
			C: $a EXAMINE a
			S: * 3 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $a OK done
			C: $b UID FETCH 2 (UID BODY.PEEK[])
			S: * 2 FETCH (UID 2 BODY[] "y")
			S: $b OK done
			C: $b UID FETCH 3 (UID BODY.PEEK[])
			S: * 3 FETCH (UID 3 BODY[] "z")
			S: $b OK done`,
			[]string{"0 opened 7 3", "0 message 1 x", "0 message 2 y", "0 message 3 z", "0 done known 1:3 new 1:3 vanished",
				"1 opened 7 3", "1 message 2 y", "1 done known  new 2 vanished", "2 opened 7 3", "2 message 3 z", "2 done known  new 3 vanished"}},
		{"names and items that cannot be sent", "IMAP4rev1", []Visit{{Mailbox: "\x00"}, {Items: FetchOptions{Sections: []Section{{Binary: true}}}}, {Mailbox: "c"}}, 0, `
			C: $a EXAMINE c
			C: $b UID FETCH *
			S: * 0 EXISTS
			S: * OK [UIDVALIDITY 7] ok
			S: $a OK done
			S: $b OK done`,
			[]string{"0 done examine \"\\x00\": mailbox name \"\\x00\" holds NUL", "1 done fetch of a decoded part: the server does not offer BINARY", "2 opened 7 0", "2 done known  new  vanished"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := session(t, tt.caps, tt.script)
			for i := range tt.visits {
				visit := &tt.visits[i]
				if visit.Mailbox == "" {
					visit.Mailbox = string(rune('a' + i))
				}
				if visit.Items.Sections == nil {
					visit.Items.Sections = []Section{{}}
				}
			}
			v := &visits{skip: tt.skip}
			if err := c.VisitAll(within(t), slices.Values(tt.visits), v); err != nil {
				t.Fatal(err)
			}
			v.check(t, tt.want...)
		})
	}
}

// TestVisitAll_Literals waits for the server between commands, while it answers those before.
func TestVisitAll_Literals(t *testing.T) {
	name := "cr\xeape"
	c := session(t, "IMAP4rev1", `
		C: $a LIST *
		S> "* LIST () NIL {5}\r\ncr\xeape\r\n"
		S: $a OK done
		C: $a EXAMINE a
		C: $b UID FETCH 1:4294967295 (UID BODY.PEEK[])
		C: $c EXAMINE {5}
		S: * 1 EXISTS
		S: * OK [UIDVALIDITY 7] ok
		S: $a OK done
		S: * 1 FETCH (UID 3 BODY[] "x")
		S: $b OK done
		S: + go
		C> "cr\xeape\r\n"
		C: $d UID FETCH 1:4294967295 (UID BODY.PEEK[])
		C: $e EXAMINE {5}
		S: * 1 EXISTS
		S: * OK [UIDVALIDITY 8] ok
		S: $c OK done
		S: * 1 FETCH (UID 4 BODY[] "y")
		S: $d OK done
		S: $e NO not again
		C: $f UID FETCH 1:4294967295 (UID BODY.PEEK[])
		S: $f BAD nothing is selected`)
	if _, err := c.List(within(t), nil); err != nil {
		t.Fatal(err)
	}
	v := &visits{}
	list := []Visit{{Mailbox: "a", Items: *whole()}, {Mailbox: name, Items: *whole()}, {Mailbox: name, Items: *whole()}}
	if err := c.VisitAll(within(t), slices.Values(list), v); err != nil {
		t.Fatal(err)
	}
	v.check(t, "0 opened 7 1", "0 message 3 x", "1 opened 8 1", "1 message 4 y", "0 done known 3 new 3 vanished", "1 done known 4 new 4 vanished",
		`2 done examine "cr\xeape": NO not again`)
	if c.Mailbox() != "" {
		t.Errorf("got %q selected after a refusal", c.Mailbox())
	}
}

// TestVisitAll_HandlerErrors ends the connection at each of the handler's methods, in each way to visit.
func TestVisitAll_HandlerErrors(t *testing.T) {
	dial, _ := peer(t, nil)
	c := dial(0)
	fillBoxes(t, c, 3, 2)
	for _, depth := range []int{1, 0} {
		for _, what := range []string{"opened", "message", "changed", "done"} {
			ours := errors.New("enough")
			c := dial(depth)
			v := &visits{fail: func(at string, i int) error {
				if at == what && i == 1 {
					return ours
				}
				return nil
			}}
			v.call = func() {
				if err := c.Noop(within(t)); !errors.Is(err, ErrBusy) {
					t.Errorf("a call from the handler: got %v", err)
				}
			}
			list := boxVisits(3)
			sel, err := c.Examine(within(t), "box 1", nil)
			if err != nil {
				t.Fatal(err)
			}
			list[1].Known = know(t, sel.UIDValidity, 0, "1")
			if err := c.VisitAll(within(t), slices.Values(list), v); !errors.Is(err, ours) {
				t.Errorf("depth %d, %s: got %v", depth, what, err)
			}
			if !errors.Is(c.Err(), ours) {
				t.Errorf("depth %d, %s: the connection lives: %v", depth, what, c.Err())
			}
		}
	}
}

// fillBoxes makes n mailboxes "box 0"… of so many messages each.
func fillBoxes(t *testing.T, c *Client, n, messages int) {
	t.Helper()
	for i := range n {
		name := fmt.Sprintf("box %d", i)
		if err := c.Create(within(t), name); err != nil {
			t.Fatal(err)
		}
		err := c.AppendAll(within(t), name, func(yield func(AppendItem, error) bool) {
			for k := range messages {
				text := fmt.Sprintf("Subject: %d of %s\r\n\r\nx\r\n", k, name)
				if !yield(AppendItem{Size: int64(len(text)), Body: strings.NewReader(text)}, nil) {
					return
				}
			}
		}, func(_ int, r AppendResult) error { return r.Err })
		if err != nil {
			t.Fatal(err)
		}
	}
}

// boxVisits visit the mailboxes of fillBoxes, of which nothing is known.
func boxVisits(n int) []Visit {
	list := make([]Visit, n)
	for i := range list {
		list[i] = Visit{Mailbox: fmt.Sprintf("box %d", i), Items: FetchOptions{Flags: true, InternalDate: true, Size: true, Sections: []Section{{}}}}
	}
	return list
}

// turns counts how often a client speaks after it has listened: each costs a round trip, however long the link is.
type turns struct {
	net.Conn
	n        int
	speaking bool
}

func (c *turns) Write(p []byte) (int, error) {
	if !c.speaking {
		c.n++
	}
	c.speaking = true
	return c.Conn.Write(p)
}

func (c *turns) Read(p []byte) (int, error) {
	c.speaking = false
	return c.Conn.Read(p)
}

// TestRoundTrips_VisitAll counts what it costs to fetch from many mailboxes, and to find nothing new in them, whatever
// the server offers: one round trip behind the login, and a few at most where what comes early lets it speak again.
func TestRoundTrips_VisitAll(t *testing.T) {
	const boxes, messages = 75, 10
	for _, without := range []string{"", "QRESYNC", "CONDSTORE"} {
		t.Run("without "+without, func(t *testing.T) {
			dial, srv := peer(t, []string{without})
			fillBoxes(t, dial(0), boxes, messages)
			list := boxVisits(boxes)
			for _, news := range []int{messages, 0} {
				nc, err := net.Dial("tcp4", srv.Addr("imap"))
				if err != nil {
					t.Fatal(err)
				}
				conn := &turns{Conn: nc}
				c, err := NewClient(within(t), wire.NewConn(conn, nil), nil)
				if err != nil {
					t.Fatal(err)
				}
				cr := alice()
				cr.AllowCleartext = true
				if err := c.Auth(within(t), cr); err != nil {
					t.Fatal(err)
				}
				conn.n, conn.speaking = 0, false
				v := &visits{}
				if err := c.VisitAll(within(t), slices.Values(list), v); err != nil {
					t.Fatal(err)
				}
				if conn.n > 4 {
					t.Errorf("%d new in each: got %d round trips, want 4 at most", news, conn.n)
				}
				for i := range list {
					if len(v.body[i]) != news || v.errs[i] != nil || v.done[i].State.Known.Count() != messages {
						t.Fatalf("%s: got %d messages, %+v, %v", list[i].Mailbox, len(v.body[i]), v.done[i], v.errs[i])
					}
					list[i].Known = v.done[i].State
				}
				c.Close()
			}
		})
	}
}

// narrow is a connection with buffers of a certain size.
type narrow struct {
	net.Conn // its deadlines and addresses
	in, out  *buffer
}

// buffer passes octets on, and keeps a writer waiting while it is full.
type buffer struct {
	mu   sync.Mutex
	cond *sync.Cond
	b    []byte
	most int
	over bool
}

func newBuffer(most int) *buffer {
	b := &buffer{most: most}
	b.cond = sync.NewCond(&b.mu)
	return b
}

func (b *buffer) Write(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(p) > 0 {
		for len(b.b) >= b.most && !b.over {
			b.cond.Wait()
		}
		if b.over {
			return n, net.ErrClosed
		}
		k := min(b.most-len(b.b), len(p))
		b.b, p, n = append(b.b, p[:k]...), p[k:], n+k
		b.cond.Broadcast()
	}
	return n, nil
}

func (b *buffer) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.b) == 0 && !b.over {
		b.cond.Wait()
	}
	if len(b.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.b)
	b.b = append(b.b[:0], b.b[n:]...)
	b.cond.Broadcast()
	return n, nil
}

func (b *buffer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	b.cond.Broadcast()
}

func (n *narrow) Read(p []byte) (int, error)  { return n.in.Read(p) }
func (n *narrow) Write(p []byte) (int, error) { return n.out.Write(p) }
func (n *narrow) Close() error {
	n.in.close()
	n.out.close()
	return nil
}

// answerVisits reads one command, answers at length and reads the next. Each mailbox has a message with UID 3.
func answerVisits(nc io.ReadWriter, body string) {
	noise := strings.Repeat("* OK "+strings.Repeat("x", 300)+"\r\n", 40)
	fmt.Fprint(nc, "* PREAUTH [CAPABILITY IMAP4rev1] hi\r\n")
	in := bufio.NewReaderSize(nc, 16)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(line)
		reply := noise
		switch {
		case words[1] == "EXAMINE":
			reply += "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n"
		case slices.Contains(words, "FETCH"):
			reply += fmt.Sprintf("* 1 FETCH (UID 3 BODY[] {%d}\r\n%s)\r\n", len(body), body)
		case slices.Contains(words, "SEARCH"):
			reply += "* SEARCH 3\r\n"
		}
		if _, err := fmt.Fprint(nc, reply, words[0]+" OK done\r\n"); err != nil {
			return
		}
	}
}

// TestVisitAll_NoDeadlock has a server that does not read while it answers, and as little room on the way as there may
// be: 48 KiB to it, nearly nothing back.
func TestVisitAll_NoDeadlock(t *testing.T) {
	const boxes = 300
	body := strings.Repeat("y", 10_000)
	for _, depth := range []int{1, 2, 64, 0} {
		up, down := newBuffer(48<<10), newBuffer(1<<10)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			answerVisits(struct {
				io.Reader
				io.Writer
			}{up, down}, body)
		}()
		addresses, other := net.Pipe()
		conn := &narrow{Conn: addresses, in: down, out: up}
		watch := time.AfterFunc(20*time.Second, func() { conn.Close() }) // it has no deadlines
		c, err := NewClient(within(t), wire.NewConn(conn, nil), &Options{Depth: depth})
		if err != nil {
			t.Fatal(err)
		}
		list := make([]Visit, boxes)
		for i := range list {
			list[i] = Visit{Mailbox: fmt.Sprintf("box%d%s", i, strings.Repeat("z", 500)), Items: *whole()}
		}
		v := &visits{}
		if err := c.VisitAll(context.Background(), slices.Values(list), v); err != nil {
			t.Fatalf("depth %d: %v", depth, err)
		}
		for i := range list {
			if v.body[i][3] != body || v.errs[i] != nil {
				t.Fatalf("depth %d: visit %d: got %.20q, %v", depth, i, v.body[i][3], v.errs[i])
			}
		}
		conn.Close()
		watch.Stop()
		addresses.Close()
		other.Close()
		<-ended
	}
}

// peer is a server in memory.
func peer(t *testing.T, without []string) (dial func(depth int) *Client, srv *server.Server) {
	t.Helper()
	srv, err := server.Start(context.Background(), server.Options{Users: []server.User{{Name: "alice", Password: canary}}, IMAP: "127.0.0.1:0", IMAPS: "127.0.0.1:0",
		AllowCleartextLogin: true, Without: without})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return func(depth int) *Client {
		t.Helper()
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(srv.CA())
		c, err := Dial(within(t), endpointOf(t, srv.Addr("imaps"), wire.ImplicitTLS), &Options{Depth: depth, Wire: &wire.Config{RootCAs: pool}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.Auth(within(t), alice()); err != nil {
			t.Fatal(err)
		}
		return c
	}, srv
}

// bookkeeper checks that what a VisitAll tells makes sense.
type bookkeeper struct {
	t       *testing.T
	replies string
	visits  []Visit
	known   []UIDSet // of the generation that is open
	came    []map[UID]bool
	changed []map[UID]bool
	done    []bool
}

func newBookkeeper(t *testing.T, replies string, list []Visit) *bookkeeper {
	b := &bookkeeper{t: t, replies: replies, visits: list, done: make([]bool, len(list))}
	for _, v := range list {
		b.known, b.came, b.changed = append(b.known, v.Known.Known), append(b.came, map[UID]bool{}), append(b.changed, map[UID]bool{})
	}
	return b
}

func (b *bookkeeper) Opened(i int, s *SelectData) error {
	b.came[i] = map[UID]bool{}
	if s.UIDValidity != b.visits[i].Known.UIDValidity {
		b.known[i] = UIDSet{}
	}
	return nil
}

func (b *bookkeeper) Message(i int, m *Message) error {
	if b.done[i] || b.came[i][m.UID] || b.known[i].Contains(m.UID) || !b.visits[i].Set.Empty() && !b.visits[i].Set.Contains(m.UID) {
		b.t.Errorf("visit %d: message %d of %q", i, m.UID, b.replies)
	}
	b.came[i][m.UID] = true
	for {
		body, err := m.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return err
		}
	}
}

func (b *bookkeeper) Changed(i int, f FlagChange) error {
	if b.done[i] || b.changed[i][f.UID] || !b.known[i].Contains(f.UID) {
		b.t.Errorf("visit %d: flags of %d of %q", i, f.UID, b.replies)
	}
	b.changed[i][f.UID] = true
	return nil
}

func (b *bookkeeper) Done(i int, ch *Changes, err error) error {
	if b.done[i] || ch == nil && err == nil {
		b.t.Errorf("visit %d ended with %v, %v of %q", i, ch, err, b.replies)
	}
	b.done[i] = true
	if ch == nil {
		return nil
	}
	if !b.visits[i].Set.Empty() {
		return nil
	}
	after := b.visits[i].Known.Known.Minus(ch.Vanished)
	if ch.Reset {
		after = UIDSet{}
	}
	if after.AddSet(ch.New); after.String() != ch.State.Known.String() {
		b.t.Errorf("visit %d: got %+v of %q", i, ch, b.replies)
	}
	return nil
}

// visitReplies are the replies of a server with QRESYNC to the visits of playVisits.
const visitReplies = "* PREAUTH [CAPABILITY IMAP4rev1 ENABLE CONDSTORE QRESYNC ESEARCH] hi\r\nT1 OK\r\n" +
	"* 3 EXISTS\r\n* OK [UIDVALIDITY 7]\r\n* OK [HIGHESTMODSEQ 9]\r\n* VANISHED (EARLIER) 1\r\n* 1 FETCH (UID 2 FLAGS (x))\r\nT2 OK\r\n" +
	"* 3 FETCH (UID 5 FLAGS () BODY[] {7}\r\nab\r\ncd\n)\r\nT3 OK\r\n" +
	"* 1 EXISTS\r\n* OK [UIDVALIDITY 8]\r\nT4 OK\r\n* 1 FETCH (BODY[] \"x\" FLAGS () UID 5)\r\nT5 OK\r\n" +
	"* 2 EXISTS\r\n* OK [UIDVALIDITY 3]\r\nT6 OK\r\n* 1 FETCH (UID 4 FLAGS () BODY[] \"y\")\r\nT7 OK\r\n"

// playVisits visits three mailboxes of a server that says what it says, whatever it is asked.
func playVisits(t *testing.T, replies string, chunk int) (*bookkeeper, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	list := []Visit{{Mailbox: "a", Known: know(t, 7, 5, "1:3")}, {Mailbox: "b"}, {Mailbox: "c", Set: uids(t, "4:5")}}
	for i := range list {
		list[i].Items = FetchOptions{Flags: true, Sections: []Section{{}}}
	}
	b := newBookkeeper(t, replies, list)
	peer := &cutPeer{rest: []byte(replies), chunk: chunk}
	c, err := NewClient(ctx, wire.NewConn(peer, nil), &Options{Tag: "T", Limits: &imapwire.Limits{Line: 10_000, Body: 10_000, Literal: 1000}})
	if err != nil {
		return b, err
	}
	defer c.conn.Close()
	err = c.VisitAll(ctx, slices.Values(list), b)
	if ctx.Err() != nil {
		t.Errorf("took too long: %v", err)
	}
	return b, err
}

// FuzzVisitAll plays any octets to a VisitAll: what it tells makes sense, and every visit ends once.
func FuzzVisitAll(f *testing.F) {
	f.Add(visitReplies)
	f.Add(strings.Replace(visitReplies, "UIDVALIDITY 7", "UIDVALIDITY 6", 1) + "* 1 EXISTS\r\n* OK [UIDVALIDITY 6]\r\nT8 OK\r\n* 1 FETCH (UID 2 BODY[] \"x\")\r\nT9 OK\r\n")
	f.Add(strings.Replace(visitReplies, "* 3 EXISTS", "* 4 EXISTS", 1) + "* 1 EXISTS\r\n* OK [UIDVALIDITY 7]\r\nT8 OK\r\n* ESEARCH UID ALL 2\r\nT9 OK\r\nT10 OK\r\n")
	f.Add(strings.NewReplacer("T2 OK", "T2 BAD", "T4 OK", "T4 NO", "T7 OK", "T7 NO [LIMIT]").Replace(visitReplies))
	f.Fuzz(func(t *testing.T, replies string) {
		b, err := playVisits(t, replies, 1<<20)
		if err == nil && slices.Contains(b.done, false) {
			t.Errorf("not all visits ended: %v of %q", b.done, replies)
		}
	})
}

// TestS11_VisitAllCut cuts the replies to a VisitAll at each octet: it is an error, and what came before is told.
func TestS11_VisitAllCut(t *testing.T) {
	for _, chunk := range []int{1, 1 << 20} {
		if b, err := playVisits(t, visitReplies, chunk); err != nil || slices.Contains(b.done, false) || len(b.came[0]) != 1 || len(b.came[1]) != 1 || len(b.came[2]) != 1 {
			t.Errorf("whole: got %v, %v, %v", b.came, b.done, err)
		}
		for n := range len(visitReplies) {
			if b, err := playVisits(t, visitReplies[:n], chunk); err == nil || b.done[2] {
				t.Errorf("cut at %d of %d: got no error, %v", n, len(visitReplies), b.done)
			}
		}
	}
}
