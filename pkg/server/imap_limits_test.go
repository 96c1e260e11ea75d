package server

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestS1_IMAPLiteralSizes announces literals of all sizes. One that waits is refused before it comes; one that does not
// is skipped up to a limit, beyond which the session ends: what follows could not be told from commands.
func TestS1_IMAPLiteralSizes(t *testing.T) {
	const over = "literal is too big"
	tests := []struct{ name, script string }{
		{"login", "C: 1 LOGIN {100001}\nS: 1 BAD *\nC: 2 NOOP\nS: 2 OK *"},
		{"at the limit", "C: 1 LOGIN {100000}\nS: + *"},
		{"2^31", "C: 1 LOGIN {2147483648}\nS: 1 BAD *\nC: 2 NOOP\nS: 2 OK *"},
		{"2^32", "C: 1 LOGIN {4294967296}\nS: 1 BAD *\nC: 2 NOOP\nS: 2 OK *"},
		{"2^63-1", "C: 1 LOGIN {9223372036854775807}\nS: 1 BAD *\nC: 2 NOOP\nS: 2 OK *"},
		{"2^64", "C: 1 LOGIN {18446744073709551616}\nS: 1 BAD *\nC: 2 NOOP\nS: 2 OK *"},
		{"negative", "C: 1 LOGIN {-1}\nS: 1 BAD *"},
		{"sign", "C: 1 LOGIN {+1}\nS: 1 BAD *"},
		{"empty", "C: 1 LOGIN {}\nS: 1 BAD *"},
		{"leading zeros", "C: 1 LOGIN {0005}\nS: + *\nC: alice {006}\nS: + *\nC: secret\nS: 1 OK *"},
		{"not waiting, skipped", "C> \"1 LOGIN {200000+}\\r\\n" + strings.Repeat("x", 200000) + " y\\r\\n2 NOOP\\r\\n\"\nS: 1 BAD *\nS: 2 OK *"},
		{"not waiting, 2^32", "C: 1 LOGIN {4294967296+}\nS: [*] BYE " + over + "\nEOF"},
		{"not waiting, 2^63", "C: 1 LOGIN {9223372036854775808+}\nC: 2 NOOP\nS: [*] BYE " + over + "\nEOF"},
		{"not waiting, beyond all numbers", "C: 1 LOGIN {99999999999999999999999999+}\nC: 2 NOOP\nS: [*] BYE " + over + "\nEOF"},
		{"unknown command, 2^32", "C: 1 FROB {4294967296+}\nS: [*] BYE " + over + "\nEOF"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) { talk(t, imapServer(t, Options{})).play(tc.script) })
	}
}

// TestS1_IMAPAppendSizes is the same for messages, whose limit is another, with little memory in use.
func TestS1_IMAPAppendSizes(t *testing.T) {
	tests := []struct{ name, script string }{
		{"one below", "C> \"1 APPEND INBOX {999+}\\r\\n" + strings.Repeat("x", 999) + "\\r\\n\"\nS: 1 OK *"},
		{"at the limit", "C> \"1 APPEND INBOX {1000+}\\r\\n" + strings.Repeat("x", 1000) + "\\r\\n\"\nS: 1 OK *"},
		{"one above, waiting", "C: 1 APPEND INBOX {1001}\nS: 1 NO [TOOBIG] *\nC: 2 NOOP\nS: 2 OK *"},
		{"one above", "C> \"1 APPEND INBOX {1001+}\\r\\n" + strings.Repeat("x", 1001) + "\\r\\n2 NOOP\\r\\n\"\nS: 1 NO [TOOBIG] *\nS: 2 OK *"},
		{"2^32, waiting", "C: 1 APPEND INBOX {4294967296}\nS: 1 NO [TOOBIG] *"},
		{"2^32", "C: 1 APPEND INBOX {4294967296+}\nS: [*] BYE literal is too big\nEOF"},
	}
	srv := imapServer(t, Options{MaxMessage: 1000})
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) { talk(t, srv).login().play(tc.script) })
	}
	big := imapServer(t, Options{MaxMessage: 8 << 30})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 { // announced and never sent
		talk(t, big).login().play("C: 1 APPEND INBOX {4294967296}\nS: + *")
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
		t.Errorf("got %d octets set aside for announcements, want less than 64 MiB", got)
	}
}

// TestS2_IMAPLongCommands sends commands on which careless code takes exponential time, or the square of their length.
func TestS2_IMAPLongCommands(t *testing.T) {
	srv := imapServer(t, Options{}, strings.Split(strings.Repeat("A: b\r\n\r\nc,", 3000)[:3000*10-1], ",")...)
	c := talk(t, srv).login().selectInbox()
	for _, command := range []string{
		"STORE 1:3000 (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Seen)",
		"SEARCH " + strings.TrimSuffix(strings.Repeat("3000:1,", 9000), ","),
		"LIST \"\" " + strings.Repeat("*%", 499),
		"SEARCH " + strings.Repeat("NOT ", 60) + "ALL",
	} {
		if got := c.command(command); !strings.HasPrefix(got[len(got)-1], "t OK") {
			t.Errorf("%.40s: got %.100s, want OK", command, got[len(got)-1])
		}
	}
}

// TestS3_IMAPEndlessLine sends a line that does not end.
func TestS3_IMAPEndlessLine(t *testing.T) {
	for _, first := range []string{"", "1 IDLE\r\n", "1 LOGIN \""} {
		c := talk(t, imapServer(t, Options{}))
		if strings.Contains(first, "IDLE") {
			c.login()
		}
		go func() {
			_, _ = io.Copy(c.nc, io.MultiReader(strings.NewReader(first), strings.NewReader(strings.Repeat("x", 1<<20))))
		}()
		if strings.Contains(first, "IDLE") {
			c.play("S: + idling")
		}
		c.play("S: [*] BYE line is too long")
	}
}

// TestS3_IMAPEndlessCommand sends literals without an end: their number and their sum are limited.
func TestS3_IMAPEndlessCommand(t *testing.T) {
	tests := []struct{ name, piece, end string }{
		{"many", "{1+}\r\nx ", "S: 1 BAD *"},
		{"large", "{90000+}\r\n" + strings.Repeat("x", 90000) + " ", "S: 1 BAD *"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			c := talk(t, imapServer(t, Options{}, plainMessage)).login().selectInbox()
			n := 1200
			if len(tc.piece) > 1000 {
				n = 15
			}
			go func() {
				_, _ = io.WriteString(c.nc, "1 FETCH 1 BODY.PEEK[HEADER.FIELDS ("+strings.Repeat(tc.piece, n)+"x)]\r\n2 NOOP\r\n")
			}()
			c.play(tc.end + "\nS: 2 OK *")
		})
	}
}

// TestS4_IMAPNesting sends parentheses inside parentheses, up to the limit and beyond.
func TestS4_IMAPNesting(t *testing.T) {
	tests := []struct {
		name  string
		depth int
		open  string
		shut  string
		want  string
	}{
		{"parentheses, 49", 49, "(", ")", "OK"},
		{"parentheses, 51", 51, "(", ")", "BAD"},
		{"parentheses, 20000", 20000, "(", ")", "BAD"},
		{"NOT, 98", 98, "NOT ", "", "OK"},
		{"NOT, 100", 100, "NOT ", "", "BAD"},
		{"NOT, 15000", 15000, "NOT ", "", "BAD"},
		{"OR, 8000", 8000, "OR ALL ", "", "BAD"},
	}
	c := talk(t, imapServer(t, Options{}, plainMessage)).login().selectInbox()
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := c.command("SEARCH " + strings.Repeat(tc.open, tc.depth) + "ALL" + strings.Repeat(tc.shut, tc.depth))
			if last := got[len(got)-1]; !strings.HasPrefix(last, "t "+tc.want) {
				t.Errorf("got %s, want %s", last, tc.want)
			}
		})
	}
	c.play("C: 2 FETCH 1 " + strings.Repeat("(", 20000) + "\nS: 2 BAD *\nC: 3 NOOP\nS: 3 OK *")
}

// TestS5_IMAPHugeSets names all numbers there are, and more.
func TestS5_IMAPHugeSets(t *testing.T) {
	c := talk(t, imapServer(t, Options{}, plainMessage)).login().selectInbox()
	c.play(`
		C: 1 UID FETCH 1:4294967295 UID
		S: [*] 1 FETCH (UID 1)
		S: 1 OK *
		C: 2 FETCH 1:4294967295 UID
		S: 2 BAD *
		C: 3 UID FETCH 4294967296 UID
		S: 3 BAD *
		C: 4 UID FETCH 0 UID
		S: 4 BAD *
		C: 5 UID FETCH 4294967295:* UID
		S: [*] 1 FETCH (UID 1)
		S: 5 OK *
		C: 6 UID FETCH 1:18446744073709551616 UID
		S: 6 BAD *
		C: 7 FETCH 1 BODY[]<4294967296.1>
		S: 7 BAD *
		C: 8 UID FETCH 1,, UID
		S: 8 BAD *
		C: 9 UID STORE 1 (UNCHANGEDSINCE 9223372036854775808) FLAGS ()
		S: 9 BAD *`)
}

// TestIMAPIDSizes: ID has few and short fields (RFC 2971 §3.3).
func TestIMAPIDSizes(t *testing.T) {
	tests := []struct{ name, args, want string }{
		{"none", "NIL", "OK"},
		{"empty", "()", "OK"},
		{"name of 30", `("` + strings.Repeat("n", 30) + `" "v")`, "OK"},
		{"name of 31", `("` + strings.Repeat("n", 31) + `" "v")`, "BAD"},
		{"value of 1024", `("n" "` + strings.Repeat("v", 1024) + `")`, "OK"},
		{"value of 1025", `("n" "` + strings.Repeat("v", 1025) + `")`, "BAD"},
		{"30 fields", `(` + strings.TrimSpace(strings.Repeat(`"n" "v" `, 30)) + `)`, "OK"},
		{"31 fields", `(` + strings.TrimSpace(strings.Repeat(`"n" "v" `, 31)) + `)`, "BAD"},
		{"value missing", `("n")`, "BAD"},
	}
	c := talk(t, imapServer(t, Options{}))
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := c.command("ID " + tc.args)
			if last := got[len(got)-1]; !strings.HasPrefix(last, "t "+tc.want) {
				t.Errorf("got %s, want %s", last, tc.want)
			}
		})
	}
}

// TestIMAPLoginLimit: a session in which too many logins were refused ends.
func TestIMAPLoginLimit(t *testing.T) {
	c := talk(t, imapServer(t, Options{}))
	_ = c.nc.SetDeadline(time.Now().Add(time.Minute))
	for i := range maxFailures - 1 {
		command := "LOGIN alice wrong"
		if i%2 == 1 {
			command = "AUTHENTICATE PLAIN AGFsaWNlAHdyb25n"
		}
		c.play(fmt.Sprintf("C: %d %s\nS: %d NO [AUTHENTICATIONFAILED] *", i, command, i))
	}
	c.play("C: 99 LOGIN alice wrong\nS: [*] BYE *\nS: 99 NO [AUTHENTICATIONFAILED] *\nEOF")
}
