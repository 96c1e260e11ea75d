package server

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// scriptRules is what a script says.
func scriptRules(t testing.TB, script string) *Rules {
	t.Helper()
	f, err := ParseScript(strings.NewReader(script))
	if err != nil {
		t.Fatalf("%q: %v", script, err)
	}
	return f.(*Rules)
}

func TestParseScript(t *testing.T) {
	for _, c := range []struct {
		name, script string
		want         []Rule
	}{
		{"empty", "\n  \n# nothing\n\t# at all", nil},
		{"reply", "on SMTP RCPT *@slow.test: reply 451 4.7.1 try later; at 10:00",
			[]Rule{{Protocol: "smtp", Command: "RCPT", Arg: "*@slow.test", Strike: Strike{Reply: "451 4.7.1 try later; at 10:00"}}}},
		{"pass three of five", "on SMTP MAIL after 3 of 5: drop",
			[]Rule{{Protocol: "smtp", Command: "MAIL", After: 3, Hit: 2, Of: 5, Strike: Strike{Drop: true}}}},
		{"cut", "on IMAP FETCH: reset at byte 1000", []Rule{{Protocol: "imap", Command: "FETCH", Strike: Strike{CutAt: 1000}}}},
		{"cut in order", "on POP3 RETR: drop at byte 7", []Rule{{Protocol: "pop3", Command: "RETR", Strike: Strike{CutAt: 7, CutDrop: true}}}},
		{"times", "on POP3 RETR 2 times: delay 2s", []Rule{{Protocol: "pop3", Command: "RETR", Hit: 2, Strike: Strike{Delay: 2 * time.Second}}}},
		{"once", "on POP3 RETR once: reset", []Rule{{Protocol: "pop3", Command: "RETR", Hit: 1, Strike: Strike{Reset: true}}}},
		{"garbage", `on SMTP EOM: garbage "\x00\xff"`, []Rule{{Protocol: "smtp", Command: "EOM", Strike: Strike{Garbage: []byte{0, 255}}}}},
		{"split", "on IMAP *: split 1 pause 1ms", []Rule{{Protocol: "imap", Command: "*", Strike: Strike{Split: 1, Pause: time.Millisecond}}}},
		{"split alone", "on LMTP LHLO: split 7", []Rule{{Protocol: "lmtp", Command: "LHLO", Strike: Strike{Split: 7}}}},
		{"after", "on imap uid fetch after 20: reply NO [LIMIT] slow down",
			[]Rule{{Protocol: "imap", Command: "UID FETCH", After: 20, Strike: Strike{Reply: "NO [LIMIT] slow down"}}}},
		{"after, of", "on * NOOP after 2 1 of 3: drop", []Rule{{Command: "NOOP", After: 2, Hit: 1, Of: 3, Strike: Strike{Drop: true}}}},
		{"after, times", "on * NOOP after 2 3 times: drop", []Rule{{Command: "NOOP", After: 2, Hit: 3, Strike: Strike{Drop: true}}}},
		{"after, once", "on * NOOP after 2 once: drop", []Rule{{Command: "NOOP", After: 2, Hit: 1, Strike: Strike{Drop: true}}}},
		{"all actions", `ON smtp rset: Split 3 Pause 5ms; DELAY 1s; Garbage "a;b: c" ; reply "421 a\nb; \"c\"" ; Drop`,
			[]Rule{{Protocol: "smtp", Command: "RSET", Strike: Strike{Delay: time.Second, Split: 3, Pause: 5 * time.Millisecond,
				Garbage: []byte("a;b: c"), Reply: "421 a\nb; \"c\"", Drop: true}}}},
		{"lines of a reply", `on IMAP CAPABILITY: reply * CAPABILITY IMAP4rev1\nOK done`,
			[]Rule{{Protocol: "imap", Command: "CAPABILITY", Strike: Strike{Reply: "* CAPABILITY IMAP4rev1\nOK done"}}}},
		{"pattern in quotes", `on IMAP SELECT "after *:" once: drop`,
			[]Rule{{Protocol: "imap", Command: "SELECT", Arg: "after *:", Hit: 1, Strike: Strike{Drop: true}}}},
		{"pattern before the colon", `on IMAP SELECT "a b": drop`, []Rule{{Protocol: "imap", Command: "SELECT", Arg: "a b", Strike: Strike{Drop: true}}}},
		{"pattern with colons", "on * CONNECT [::1]:*: drop", []Rule{{Command: "CONNECT", Arg: "[::1]:*", Strike: Strike{Drop: true}}}},
		{"pattern like a word", `on IMAP SELECT of: drop`, []Rule{{Protocol: "imap", Command: "SELECT", Arg: "of", Strike: Strike{Drop: true}}}},
		{"colon by itself", "on POP3 *\t:\tdrop", []Rule{{Protocol: "pop3", Command: "*", Strike: Strike{Drop: true}}}},
		{"lie", "on IMAP *FETCH: lie Wrong-Size", []Rule{{Protocol: "imap", Command: "*FETCH", Strike: Strike{Lie: "wrong-size"}}}},
		{"hide", "hide IMAP MOVE,uidplus", []Rule{{Protocol: "imap", Hide: "MOVE"}, {Protocol: "imap", Hide: "UIDPLUS"}}},
		{"hide everywhere", "Hide * AUTH=PLAIN, STARTTLS", []Rule{{Hide: "AUTH=PLAIN"}, {Hide: "STARTTLS"}}},
		{"line ends and mark", "\ufeff# first\r\non * NOOP: drop\r\n", []Rule{{Command: "NOOP", Strike: Strike{Drop: true}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := scriptRules(t, c.script).List
			if len(got)+len(c.want) > 0 && !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestParseScriptErrors(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"other word", "in SMTP: drop", "want: on PROTOCOL COMMAND"},
		{"no colon", "on SMTP RCPT drop", "want: on PROTOCOL COMMAND"},
		{"hide with colon", "hide IMAP: MOVE", "want: on PROTOCOL COMMAND"},
		{"only a colon", ":", "nothing before the colon"},
		{"no command", "on SMTP: drop", "want a protocol and a command"},
		{"protocol", "on NNTP ARTICLE: drop", `"NNTP" is not a protocol`},
		{"command", "on SMTP RCTP: drop", `no command is called "RCTP"`},
		{"command of another protocol", "on POP3 RCPT: drop", `no command is called "RCPT"`},
		{"UID alone", "on IMAP UID: drop", `no command is called "UID"`},
		{"no such UID command", "on IMAP UID NOOP: drop", `no command is called "UID NOOP"`},
		{"empty pattern", `on IMAP SELECT "": drop`, "empty pattern"},
		{"open string", `on IMAP SELECT "a: drop`, "not a string in quotes"},
		{"raw string", "on IMAP NOOP: garbage `a`", "not a string in quotes"},
		{"text behind string", `on IMAP SELECT "a"b: drop`, "unexpected"},
		{"two patterns", "on SMTP RCPT a b: drop", `unexpected "b"`},
		{"zero times", "on SMTP RCPT 0 times: drop", `bad number "0"`},
		{"negative", "on SMTP RCPT after -1: drop", `bad number "-1"`},
		{"huge", "on SMTP RCPT after 99999999999999999999: drop", "bad number"},
		{"3 of 2", "on SMTP RCPT 3 of 2: drop", "3 of 2 is more than all"},
		{"after 5 of 5", "on SMTP RCPT after 5 of 5: drop", "leaves nothing to strike"},
		{"after of times", "on SMTP RCPT after 3 of 5 2 times: drop", `unexpected "2"`},
		{"after without number", "on SMTP RCPT after: drop", `unexpected "after"`},
		{"no action", "on SMTP RCPT:", "want an action"},
		{"empty action", "on SMTP RCPT: drop;", "want an action"},
		{"unknown action", "on SMTP RCPT: explode", `unknown action "explode"`},
		{"words behind drop", "on SMTP RCPT: drop it", `unknown action "drop it"`},
		{"words behind string", `on SMTP RCPT: reply "451 a" b`, `unexpected "b"`},
		{"twice", "on SMTP RCPT: delay 1s; delay 2s", `two times "delay"`},
		{"negative delay", "on SMTP RCPT: delay -1s", "bad time"},
		{"long delay", "on SMTP RCPT: delay 61m", "bad time"},
		{"delay without unit", "on SMTP RCPT: delay 5", "bad time"},
		{"split nothing", "on SMTP RCPT: split 0", "bad number"},
		{"cut nothing", "on SMTP DATA: reset at byte 0", "bad number"},
		{"garbage without quotes", "on SMTP RCPT: garbage x", "not a string in quotes"},
		{"no garbage", `on SMTP RCPT: garbage ""`, "garbage needs some octets"},
		{"no reply", "on SMTP RCPT: reply", "reply needs a text"},
		{"reply of line ends", `on SMTP RCPT: reply \n\n`, "reply needs a text"},
		{"control character", `on SMTP RCPT: reply "451 \x00"`, "control character in a reply"},
		{"drop and reset", "on SMTP RCPT: drop; reset", "exclude each other"},
		{"two cuts", "on SMTP DATA: drop at byte 4; reset at byte 5", "exclude each other"},
		{"cut after drop", "on SMTP DATA: drop; reset at byte 5", "nothing is left"},
		{"lie of POP3 in IMAP", "on IMAP FETCH: lie no-dot", `no lie for this command is called "no-dot"`},
		{"lie of one POP3 command at another", "on POP3 DELE: lie wrong-size", `no lie for this command is called "wrong-size"`},
		{"cut after reply", `on SMTP DATA: reply "354 ok"; reset at byte 4`, "nothing is left"},
		{"lie after drop", "on SMTP EOM: drop; lie drop-after", "nothing is left"},
		{"no body", "on IMAP SELECT: reset at byte 10", "has no body"},
		{"reply at CONNECT", "on * CONNECT: reply hello", "CONNECT has nothing to reply to"},
		{"lie", "on IMAP FETCH: lie white", `no lie for this command is called "white"`},
		{"lie of another command", "on IMAP SELECT: lie wrong-size", `no lie for this command is called "wrong-size"`},
		{"lie of another protocol", "on POP3 *: lie drop-after", `no lie for this command is called "drop-after"`},
		{"hide nothing", "hide IMAP", "want: hide PROTOCOL EXTENSION"},
		{"hide commas", "hide IMAP ,", "hide needs an extension"},
		{"hide what is not", "hide IMAP MOOVE", `"MOOVE" is not an extension`},
		{"hide elsewhere", "hide POP3 MOVE", `"MOVE" is not an extension`},
		{"hide no mechanism", "hide IMAP AUTH=", `"AUTH=" is not an extension`},
		{"hide on no protocol", "hide MOVE IMAP", `"MOVE" is not a protocol`},
		{"long line", strings.Repeat("a", scriptLineLimit+1), "line too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := ParseScript(strings.NewReader("# one\n\n" + c.line + "\non * NOOP: drop"))
			var e *ScriptError
			if !errors.As(err, &e) || f != nil {
				t.Fatalf("got %v, %v, want a ScriptError with %q", f, err, c.want)
			}
			if e.Line != 3 || !strings.Contains(e.Msg, c.want) || !strings.HasPrefix(err.Error(), "line 3: ") {
				t.Errorf("got %v, want line 3 and %q", err, c.want)
			}
		})
	}
	broken := errors.New("broken")
	if _, err := ParseScript(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v, want the reader's error", err)
	}
	if _, err := ParseScript(strings.NewReader(strings.Repeat("on * NOOP: drop\n", scriptRuleLimit+1))); err == nil || !strings.Contains(err.Error(), "more than 10000 rules") {
		t.Errorf("got %v, want too many rules", err)
	}
}

// TestScriptCounts plays twelve events against each form of WHEN.
func TestScriptCounts(t *testing.T) {
	for _, c := range []struct{ when, want string }{
		{"", "XXXXXXXXXXXX"}, {"after 3", "...XXXXXXXXX"}, {"after 3 of 5", "...XX...XX.."}, {"2 of 5", "XX...XX...XX"},
		{"2 times", "XX.........."}, {"once", "X..........."}, {"after 2 1 of 3", "..X..X..X..X"}, {"after 4 2 times", "....XX......"},
	} {
		rules := scriptRules(t, "on smtp NOOP "+c.when+": drop")
		got := ""
		for range c.want {
			rules.Strike(Event{Protocol: "smtp", Command: "RSET"}) // does not count
			if rules.Strike(Event{Protocol: "smtp", Command: "NOOP"}).Drop {
				got += "X"
			} else {
				got += "."
			}
		}
		if got != c.want {
			t.Errorf("%q: got %s, want %s", c.when, got, c.want)
		}
	}
}

// TestScriptServed runs a script in all protocols.
func TestScriptServed(t *testing.T) {
	faults, err := ParseScript(strings.NewReader(`
		on SMTP RCPT *@slow.test: reply 451 4.7.1 try later
		on SMTP NOOP after 1 of 2: drop
		on SMTP EOM once: garbage "250 no\r\n"
		on POP3 STAT once: reply -ERR [SYS/TEMP] later
		on POP3 RETR: reset at byte 4
		on IMAP CAPABILITY: reply * CAPABILITY IMAP4rev1 XLIE\nOK done
		on IMAP EXAMINE "a b": reply NO [UNAVAILABLE] not now
		on IMAP APPEND: reset at byte 3
		hide SMTP CHUNKING
		hide IMAP MOVE
	`))
	if err != nil {
		t.Fatal(err)
	}
	srv := imapServer(t, Options{SMTP: "127.0.0.1:0", POP3: "127.0.0.1:0", Hostname: "mx.example.org", Faults: faults}, "A: b\r\n\r\nhello\r\n")
	const hello = "S: 220 mx.example.org ESMTP mail serve\nC: HELO [127.0.0.1]\nS: 250 mx.example.org\n"
	t.Run("smtp", func(t *testing.T) {
		dialCore(t, srv.Addr("smtp")).talk(srv, hello+`C: MAIL FROM:<>
			S: 250 2.1.0 sender accepted
			C: RCPT TO:<bob@SLOW.test>
			S: 451 4.7.1 try later
			C: BDAT 0 LAST
			S: 500 5.5.1 unknown command
			C: RCPT TO:<alice@example.org>
			S: 250 2.1.5 recipient accepted
			C: DATA
			S: 354 go ahead, end with a dot
			C> "A: b\r\n\r\n.\r\n"
			S: 250 no
			S: 250 2.0.0 message accepted
			C: NOOP
			S: 250 2.0.0 ok
			C: NOOP
			EOF`)
	})
	t.Run("pop3", func(t *testing.T) {
		p := dialPOP(t, srv)
		p.talk("S: +OK*\nC: USER alice\nS: +OK*\nC: PASS secret\nS: +OK*\nC: STAT\nS: -ERR [SYS/TEMP] later\nC: STAT\nS: +OK*\nC: RETR 1\nS: +OK*")
		if rest, err := io.ReadAll(p.r); string(rest) != "A: b" && len(rest) > 4 || err == nil {
			t.Errorf("got %q and %v, want at most 4 octets and a reset", rest, err)
		}
	})
	t.Run("imap", func(t *testing.T) {
		c := talk(t, srv).login()
		c.play("C: 1 CAPABILITY\nS. * CAPABILITY IMAP4rev1 XLIE\nS. 1 OK done\nC: 2 MOVE 1 a\nS: 2 BAD *\nC: 3 EXAMINE a b\nS. 3 NO [UNAVAILABLE] not now\n" +
			"C: 4 APPEND INBOX {9}\nS: + *\nC: A: bcdefg")
		if rest, err := io.ReadAll(c.r); len(rest) > 0 || err == nil {
			t.Errorf("got %q and %v, want a reset", rest, err)
		}
	})
}

// TestScriptNames holds that the script knows all commands and extensions of the protocols, and no others.
func TestScriptNames(t *testing.T) {
	moments := []string{"CONNECT", "GREETING", "EOM", "LITERAL", "UNKNOWN"}
	for _, name := range scriptCommands("pop3") {
		if _, ok := popVerbs(name); !ok && !slices.Contains(moments, name) {
			t.Errorf("pop3: %s is not a command", name)
		}
	}
	for _, lmtp := range []bool{false, true} {
		m := &smtpSession{session: &session{srv: &Server{}}, lmtp: lmtp}
		for _, name := range scriptCommands(map[bool]string{false: "smtp", true: "lmtp"}[lmtp]) {
			if _, ok := m.verb(name); !ok && !slices.Contains(moments, name) {
				t.Errorf("smtp, lmtp %v: %s is not a command", lmtp, name)
			}
		}
	}
	commands := strings.Join(slices.Concat(scriptCommands("smtp"), scriptCommands("lmtp"), scriptCommands("pop3")), " ") + " "
	extensions := strings.ToUpper(strings.Join(slices.Concat(scriptExtensions("smtp"), scriptExtensions("pop3"), scriptExtensions("imap")), " ")) + " "
	lies := ""
	for _, l := range scriptLies() {
		lies += l.name + " "
	}
	for _, c := range []struct{ name, files, pattern, known string }{
		{"commands", "smtp.go pop3.go", `(?m)^\tcase ((?:"[A-Z0-9]+"(?:, )?)+):\n\t\treturn (?:smtp|pop)Verb`, commands},
		{"extensions", "smtp*.go pop3*.go imap*.go", `\b(?:has|add)\(("[A-Z0-9+-]+")`, extensions},
		{"lies", "smtp*.go pop3*.go imap*.go", `(?m)^(?:const |\t)?[lL]ie[A-Z]\w* += ("[a-z-]+")`, lies},
	} {
		found := 0
		for pattern := range strings.FieldsSeq(c.files) {
			names, err := filepath.Glob(pattern)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if strings.HasSuffix(name, "_test.go") {
					continue
				}
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range regexp.MustCompile(c.pattern).FindAllStringSubmatch(string(text), -1) {
					for word := range strings.SplitSeq(m[1], ", ") {
						found++
						if !strings.Contains(" "+c.known, " "+strings.Trim(word, `"`)+" ") {
							t.Errorf("%s: %s of %s is not known to scripts", c.name, word, name)
						}
					}
				}
			}
		}
		if found < 5 {
			t.Errorf("%s: found only %d in the sources", c.name, found)
		}
	}
}

func TestJoinFaults(t *testing.T) {
	if got := JoinFaults(nil, nil); got != nil {
		t.Errorf("got %v, want nil", got)
	}
	a, b := scriptRules(t, "on * NOOP once: delay 1ms\nhide IMAP MOVE"), scriptRules(t, "on * NOOP after 1: drop\nhide IMAP SORT")
	if got := JoinFaults(nil, b); got != Faults(b) {
		t.Errorf("got %v, want the only one", got)
	}
	joined := JoinFaults(a, nil, b)
	for i, want := range []Strike{{Delay: time.Millisecond}, {Drop: true}, {Drop: true}} {
		if got := joined.Strike(Event{Protocol: "smtp", Command: "NOOP"}); !reflect.DeepEqual(got, want) {
			t.Errorf("event %d: got %+v, want %+v", i, got, want)
		}
	}
	for name, want := range map[string]bool{"MOVE": true, "SORT": true, "IDLE": false} {
		if got := joined.(Hider).Hidden("imap", name); got != want {
			t.Errorf("%s hidden: got %v, want %v", name, got, want)
		}
	}
}

// FuzzParseScript holds that a script is read or refused by line, and that what was read can be asked.
func FuzzParseScript(f *testing.F) {
	for _, seed := range []string{
		"on SMTP RCPT *@slow.test: reply 451 4.7.1 try later", "on * CONNECT [::1]:*: garbage \"\\x00\"; reset", "on IMAP UID FETCH after 3 of 5: lie wrong-size",
		"hide IMAP MOVE, UIDPLUS", "on POP3 * \"a b\" 2 times: delay 2s; split 1 pause 1ms; drop", "# x\n\non", "on IMAP \"UID\" \"\":",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, script string) {
		faults, err := ParseScript(strings.NewReader(script))
		var e *ScriptError
		if err != nil {
			if !errors.As(err, &e) || e.Line < 1 || e.Line > strings.Count(script, "\n")+1 || e.Msg == "" {
				t.Fatalf("got %v, want a line of the script", err)
			}
			return
		}
		for _, rule := range faults.(*Rules).List {
			if rule.Hide == "" && (rule.Command == "" || rule.Strike.isZero()) || rule.After < 0 || rule.Hit < 0 || rule.Of < 0 || rule.Strike.Delay > scriptDelay {
				t.Fatalf("a rule that cannot be: %+v", rule)
			}
		}
		faults.Strike(Event{Protocol: "imap", Command: "UID FETCH", Arg: "1 (UID)", Session: 1})
	})
}
