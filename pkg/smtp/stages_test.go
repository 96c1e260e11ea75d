package smtp

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// stages are the places at which a server may refuse. %s stands for its reply; what comes after is left out when the
// reply ends the session.
var stages = []struct {
	name, before, after string
}{
	{"greeting", "", ""},
	{"EHLO", "S: 220 hi\nC: EHLO *\n", ""},
	{"AUTH", hello("AUTH PLAIN") + "C: AUTH PLAIN *\n", ""},
	{"MAIL", hello() + "C: MAIL *\n", ""},
	{"RCPT", hello() + "C: MAIL *\nS: 250 ok\nC: RCPT *\n", ""},
	{"DATA", hello() + "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\n", ""},
	{"dot", hello() + "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nC.\n", ""},
}

func TestD2_RefusedAtEachStage(t *testing.T) {
	for _, stage := range stages {
		for _, tc := range []struct {
			name, reply string
			temporary   bool
			kind        string // "" = refusal
			status      string
		}{
			{"4yz", "S: 450 later\n", true, "", "450 later"},
			{"5yz", "S: 550 never\n", false, "", "550 never"},
			{"421", "S: 421 closing\n", true, "", "421 closing"},
			{"code alone", "S: 554\n", false, "", "554"},
			{"unknown code", "S: 599 odd\n", false, "", "599 odd"},
			{"multi-line", "S: 550-not\nS: 550-today\nS: 550 thanks\n", false, "", "550 not today thanks"},
			{"enhanced", "S: 550-5.7.1 not\nS: 550 5.7.1 today\n", false, "", "550 5.7.1 not today"},
			{"enhanced code of another class", "S: 450 5.7.1 hm\n", true, "", "450 5.7.1 hm"},
			{"codes differ in the last digits", "S: 450-a\nS: 451 b\n", true, "", "451 a b"},
			{"lone LF", "S> \"550 never\\n\"\n", false, "", "550 never"},
			{"classes differ", "S: 450-a\nS: 550 b\n", false, "protocol", ""},
			{"malformed", "S: what?\n", false, "protocol", ""},
			{"1yz", "S: 150 hm\n", false, "protocol", ""},
			{"6yz", "S: 650 hm\n", false, "protocol", ""},
			{"no separator", "S: 550never\n", false, "protocol", ""},
			{"empty line", "S> \"\\r\\n\"\n", false, "protocol", ""},
		} {
			t.Run(stage.name+"/"+tc.name, func(t *testing.T) {
				script := stage.before + tc.reply
				refused := !strings.HasPrefix(tc.status, "4") && tc.kind == ""
				if stage.name == "EHLO" && refused { // then HELO is tried, once
					script += "C: HELO *\n" + tc.reply
				}
				err := wholeSession(t, script+"HANG\n")
				if err == nil {
					t.Fatal("no error")
				}
				switch {
				case tc.kind != "" && stage.name == "dot":
					wantKind(t, err, "uncertain")
				case tc.kind != "":
					wantKind(t, err, tc.kind)
				default:
					checkRefusal(t, stage.name, err, tc.temporary, tc.status)
				}
			})
		}
	}
}

func checkRefusal(t *testing.T, stage string, err error, temporary bool, status string) {
	t.Helper()
	var e *Error
	var none *NoRecipientError
	if errors.As(err, &none) {
		e = none.Refused[0].Err
	} else if !errors.As(err, &e) {
		t.Fatalf("error is %T (%v), want *Error", err, err)
	}
	if e.Status() != status {
		t.Errorf("status is %q, want %q", e.Status(), status)
	}
	var temp interface{ Temporary() bool }
	if !errors.As(err, &temp) || temp.Temporary() != temporary {
		t.Errorf("%v: temporary is not %v", err, temporary)
	}
	var refused *auth.Error
	if got := errors.As(err, &refused); got != (stage == "AUTH") {
		t.Errorf("%v: *auth.Error is %v at %s", err, got, stage)
	}
}

// wholeSession logs in when the server offers that and sends one message.
func wholeSession(t *testing.T, script string) error {
	t.Helper()
	c, err := open(t, script, nil)
	if err != nil {
		return err
	}
	if _, ok := c.Extension("AUTH"); ok {
		cr := &auth.Credentials{User: "alice", Password: auth.Literal("secret"), Mechanism: "plain", AllowCleartext: true}
		if err := c.Auth(bg(t), cr); err != nil {
			return err
		}
	}
	_, err = send(t, c, envelope("bob@example.org"))
	return err
}

func TestD2_WordsDoNotCount(t *testing.T) {
	for _, tc := range []struct{ name, final string }{
		{"2yz with a text that sounds like a refusal", "S: 250 5.1.1 rejected, no such user"},
		{"2yz of another code", "S: 251 error"},
		{"2yz without a text", "S: 250"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := wholeSession(t, hello()+"C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 299 rejected\nC: DATA\nS: 399 go\nC.\n"+tc.final+"\n"+bye)
			wantKind(t, err, "ok")
		})
	}
}

func TestD2_421AnyTimeEndsTheConnection(t *testing.T) {
	c := mustOpen(t, hello("PIPELINING")+"C: MAIL *\nC: RCPT *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 421 4.3.2 shutting down\nCLOSE\n", nil)
	r, err := send(t, c, envelope("a@example.org", "b@example.org"))
	wantKind(t, err, "error")
	wantOutcome(t, r, "tt")
	if _, again := send(t, c, envelope("a@example.org")); !errors.Is(again, err) {
		t.Errorf("later call gives %v, want the same error", again)
	}
}

func TestD2_IdleTimeoutAnnouncedBefore(t *testing.T) {
	c := mustOpen(t, hello("PIPELINING", "CHUNKING")+"S: 421 4.4.2 idle too long\nC: MAIL *\nCLOSE", nil)
	r, err := send(t, c, envelope("a@example.org"))
	wantKind(t, err, "error") // certain: the server closed before it read the message
	wantOutcome(t, r, "t")
}

func TestD10_RefusedBeforeMail(t *testing.T) {
	all := []string{"SIZE 1000", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "REQUIRETLS"}
	without := func(keyword string) (list []string) {
		for _, k := range all {
			if !strings.HasPrefix(k, keyword) {
				list = append(list, k)
			}
		}
		return list
	}
	for _, tc := range []struct {
		name, extension string
		keywords        []string
		env             Envelope
	}{
		{"size", "SIZE", all, Envelope{Size: 1001}},
		{"8-bit body", "8BITMIME", without("8BITMIME"), Envelope{Body: Body8Bit}},
		{"header", "SMTPUTF8", without("SMTPUTF8"), Envelope{UTF8: true}},
		{"sender", "SMTPUTF8", without("SMTPUTF8"), Envelope{From: "jürgen@example.org"}},
		{"recipient", "SMTPUTF8", without("SMTPUTF8"), Envelope{Rcpt: []string{"jürgen@example.org"}}},
		{"binary", "BINARYMIME", without("BINARYMIME"), Envelope{Body: BodyBinary}},
		{"binary without chunking", "BINARYMIME", without("CHUNKING"), Envelope{Body: BodyBinary}},
		{"later hops in cleartext", "REQUIRETLS", without("REQUIRETLS"), Envelope{RequireTLS: true}},
		{"this hop in cleartext", "REQUIRETLS", all, Envelope{RequireTLS: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := mustOpen(t, hello(tc.keywords...)+bye, nil) // nothing but QUIT is sent
			if tc.env.Rcpt == nil {
				tc.env.Rcpt = []string{"bob@example.org"}
			}
			_, err := send(t, c, &tc.env)
			var e *CapabilityError
			if !errors.As(err, &e) || e.Extension != tc.extension {
				t.Errorf("error is %v, want a CapabilityError about %s", err, tc.extension)
			}
			_ = c.Close()
		})
	}
}

func TestSizeWithoutLimit(t *testing.T) {
	for _, param := range []string{"SIZE", "SIZE 0", "SIZE x", "SIZE -1", "SIZE 18446744073709551616"} {
		c := mustOpen(t, hello(param)+"C: MAIL FROM:<alice@example.org> SIZE=28\nS: 550 no\n"+bye, nil)
		env := envelope("bob@example.org")
		env.Size = 28
		_, err := send(t, c, env)
		wantKind(t, err, "error")
		_ = c.Close()
	}
}

func TestEnhancedCodes(t *testing.T) {
	for _, tc := range []struct{ reply, enhanced, text string }{
		{"550 5.1.1 no", "5.1.1", "no"},
		{"550 5.123.456 no", "5.123.456", "no"},
		{"550 5.1.1", "5.1.1", ""},
		{"550 5.1 no", "", "5.1 no"},
		{"550 5.1.1234 no", "", "5.1.1234 no"},
		{"550 2.1.1 no", "", "2.1.1 no"},
		{"550 5..1 no", "", "5..1 no"},
		{"550 5.1.1no", "", "5.1.1no"},
		{"550 no 5.1.1", "", "no 5.1.1"},
		{"550 \x1b[31mred\x07\u202e", "", `\x1b[31mred\x07\u202e`},
		{"550 \xff\xfe", "", `\xff\xfe`},
		{"550 café 日本", "", "café 日本"},
	} {
		t.Run(tc.reply, func(t *testing.T) {
			conn := wire.NewConn(wiretest.Pipe(t, fmt.Sprintf("S> %q\n", tc.reply+"\r\n")), nil)
			r, err := readReply(conn)
			if err != nil || r.Enhanced != tc.enhanced || r.Text != tc.text {
				t.Errorf("got %q %q %v, want %q %q", r.Enhanced, r.Text, err, tc.enhanced, tc.text)
			}
			_ = conn.Close()
		})
	}
}
