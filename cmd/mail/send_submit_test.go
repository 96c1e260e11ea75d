package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/server"
)

// submitTo runs sendmail -bs with all the words of its client at once, and returns the replies that follow the one to
// HELO.
func submitTo(t *testing.T, at, client string, words ...string) (replies []string, stderr string) {
	t.Helper()
	e, stdout, said := testEnv("HELO client\r\n" + strings.ReplaceAll(client, "\n", "\r\n"))
	e.getenv = func(name string) string { return map[string]string{"MAIL_SMTP": at, "LOGNAME": "carol"}[name] }
	if code := run(context.Background(), e, append([]string{"/usr/sbin/sendmail", "-bs"}, words...)); code != 0 {
		t.Errorf("exit %d, want 0; stderr %q", code, said)
	}
	reply := ""
	for line := range strings.Lines(stdout.String()) {
		reply += line
		if len(line) > 3 && line[3] == ' ' {
			replies, reply = append(replies, strings.TrimSuffix(strings.ReplaceAll(reply, "\r\n", "\n"), "\n")), ""
		}
	}
	if len(replies) < 2 || !strings.HasPrefix(replies[1], "250 ") {
		t.Fatalf("replies %q", replies)
	}
	return replies[2:], said.String()
}

// classes are the first digits of replies.
func classes(replies []string) (digits string) {
	for _, r := range replies {
		digits += r[:1]
	}
	return digits
}

func TestSubmissions(t *testing.T) {
	const header = "From: alice@example.org\nDate: Fri, 20 Nov 2026 10:00:00 +0000\nMessage-ID: <m1@example.org>\n"
	const mail = "MAIL FROM:<alice@example.org>\nRCPT TO:<bob@example.org>\nDATA\n"
	srv := mailHost(t, server.Options{})
	closed := mailHost(t, server.Options{RequireLogin: true})
	at := "smtp+plain://" + srv.Addr("smtp")
	for _, tc := range []struct {
		name, at, client, want string
		arrived                int      // messages for bob
		parts                  []string // of the last of them, or of the last reply but one
	}{
		{"one message", at, mail + header + "Bcc: eve@example.org\n\n..x\n.\nQUIT\n", "22322", 1, []string{"\r\nMessage-ID: <m1@example.org>\r\n\r\n.x\r\n"}},
		{"three messages", at, strings.Repeat(mail+header+"\nx\n.\n", 3) + "QUIT\n", "2232" + "2232" + "2232" + "2", 3, nil},
		{"the end without QUIT", at, mail + header + "\nx\n.\n", "2232", 1, nil},
		{"the end in the text", at, mail + header + "\nx\n", "223", 0, nil},
		{"users of this machine", at, "MAIL FROM:<root>\nRCPT TO:<bob>\nDATA\n\nx\n.\nQUIT\n", "22322", 1, []string{"Return-Path: <root@" + localHost() + ">", "\r\nFrom: root@"}},
		{"null sender", at, "MAIL FROM:<>\nRCPT TO:<bob@example.org>\nDATA\n" + header + "\nx\n.\nQUIT\n", "22322", 1, []string{"Return-Path: <>"}},
		{"an operand and a header are no recipients", at, mail + "To: eve@example.org\n" + header + "\nx\n.\nQUIT\n", "22322", 1, []string{"Delivered-To: bob@example.org"}},
		{"octet 0", at, mail + header + "\nx\x00\n.\nQUIT\n", "22352", 0, []string{"554 5.0.0 ", "octet 0"}},
		{"no recipient is left", at, "MAIL FROM:<a@example.org>\nRCPT TO:<b@@>\nDATA\nRSET\n", "255", 0, nil},
		{"nobody listens", "smtp+plain://127.0.0.1:9", mail + header + "\nx\n.\nQUIT\n", "22342", 0, []string{"451 4.3.0 127.0.0.1:9: "}},
		{"no server is known", "", mail + header + "\nx\n.\nQUIT\n", "22342", 0, []string{"451-4.3.0 "}},
		{"a login is missing", "smtp+plain://" + closed.Addr("smtp"), mail + header + "\nx\n.\nQUIT\n", "22342", 0, []string{"451-4.3.0 ", "530 5.7.0 log in first"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(stored(t, srv, "bob", "INBOX"))
			replies, stderr := submitTo(t, tc.at, tc.client)
			got := stored(t, srv, "bob", "INBOX")[before:]
			if classes(replies) != tc.want || len(got) != tc.arrived {
				t.Fatalf("replies %q, %d messages; want %s and %d; stderr %q", replies, len(got), tc.want, tc.arrived, stderr)
			}
			text := strings.Join(replies[max(0, len(replies)-2):], "\n")
			if tc.arrived > 0 {
				text = got[len(got)-1]
			}
			for _, part := range tc.parts {
				if !strings.Contains(text, part) {
					t.Errorf("got %q\nwant %q in it", text, part)
				}
			}
		})
	}
}

// submitFate is how a session tells a fate: the class of the reply to the text, and how many recipients have got it.
func (f fate) submitFate(lmtp bool) (class, kept int) {
	var all []int
	switch {
	case slices.Contains(f.rcpt[:], 4) || slices.Contains(f.rcpt[:], 5): // the message goes to all or to nobody
		all = f.rcpt[:]
	case f.data != 3:
		all = []int{f.data}
	case !lmtp:
		all = f.dot[:1]
	default:
		all = f.dot[:]
	}
	if !slices.ContainsFunc(all, func(c int) bool { return c != 2 }) {
		return 2, 3
	}
	if lmtp && &all[0] == &f.dot[0] {
		for _, c := range all {
			kept += map[int]int{2: 1}[c]
		}
	}
	if kept > 0 || slices.Contains(all, 5) {
		return 5, kept
	}
	return 4, 0
}

// TestD1_SubmitReplies tries every combination of replies to three recipients: 250 means that all have it, 4yz that
// nobody has, so that the client may send it again, and 5yz the same but where LMTP has delivered to some and the reply
// says so.
func TestD1_SubmitReplies(t *testing.T) {
	for _, mode := range fateModes {
		t.Run(mode.name, func(t *testing.T) {
			lmtp := strings.HasPrefix(mode.scheme, "lmtp")
			for n, f := range fates(!slices.Contains(mode.without, "CHUNKING"), lmtp) {
				if testing.Short() && n%7 != 0 {
					continue
				}
				trySubmit(t, mode.scheme, mode.without, f)
			}
		})
	}
}

func trySubmit(t *testing.T, scheme string, without []string, f fate) {
	t.Helper()
	at, kept := fateHost(t, scheme, without, []fate{f})
	_, letter, _ := strings.Cut(fateLetter(0), "\n")
	replies, _ := submitTo(t, at, "MAIL FROM:<s0@example.org>\nRCPT TO:<r0@m0.test>\nRCPT TO:<r1@m0.test>\nRCPT TO:<r2@m0.test>\nDATA\n"+letter+".\nQUIT\n")
	class, want := f.submitFate(strings.HasPrefix(scheme, "lmtp"))
	if got := classes(replies); got != fmt.Sprintf("22223%d2", class) || kept() != want {
		t.Fatalf("%+v: replies %q, %d recipients have the message; want class %d and %d", f, replies, kept(), class, want)
	}
	text := replies[5]
	if want > 0 && want < 3 && !strings.Contains(text, fmt.Sprintf("sent to %d of 3 recipients", want)) {
		t.Errorf("%+v: reply %q does not say that %d have it", f, text, want)
	}
	for i, class := range f.rcpt {
		if class != 2 && !strings.Contains(text, fmt.Sprintf("r%d@m0.test: %d %d.9.%d words", i, class*100+50+i, class, 50+i)) {
			t.Errorf("%+v: reply %q does not name recipient %d", f, text, i)
		}
	}
}

// TestSubmissions_Verbose shows the conversation with the server on standard error, and not in the replies.
func TestSubmissions_Verbose(t *testing.T) {
	at, _ := fateHost(t, "smtp+plain://", nil, []fate{{rcpt: [3]int{5, 5, 5}, data: 3}})
	replies, stderr := submitTo(t, at, "MAIL FROM:<s0@example.org>\nRCPT TO:<r0@m0.test>\nDATA\n\nx\n.\nQUIT\n", "-v")
	if len(replies) != 5 || strings.Contains(replies[3], "MAIL FROM") || !strings.Contains(stderr, "C: MAIL FROM:<s0@example.org>") {
		t.Errorf("replies %q, stderr %q", replies, stderr)
	}
}

func TestSubmissions_ManyRecipients(t *testing.T) {
	srv := mailHost(t, server.Options{})
	var client strings.Builder
	client.WriteString("MAIL FROM:<alice@example.org>\n")
	for i := range 102 {
		fmt.Fprintf(&client, "RCPT TO:<u%d@example.org>\n", i)
	}
	client.WriteString("QUIT\n")
	replies, _ := submitTo(t, "smtp+plain://"+srv.Addr("smtp"), client.String())
	if want := strings.Repeat("2", 101) + "442"; classes(replies) != want || !strings.HasPrefix(replies[101], "452 4.5.3 ") {
		t.Errorf("replies %q, want 452 4.5.3 from the hundred and first recipient on", replies[99:])
	}
}
