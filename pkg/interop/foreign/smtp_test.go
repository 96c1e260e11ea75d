package foreign

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/mail-toolkit/mail/pkg/server"
)

const (
	from   = "alice@example.org"
	letter = "From: alice@example.org\r\nSubject: letter\r\n\r\n.\r\n..\r\n.x\r\nend\r\n"
)

// connect opens an SMTP session over TLS and logs in.
func (s *system) connect(listener string) *smtp.Client {
	s.t.Helper()
	var c *smtp.Client
	var err error
	if listener == "smtps" {
		c, err = smtp.DialTLS(s.Addr(listener), s.tls)
	} else {
		c, err = smtp.DialStartTLS(s.Addr(listener), s.tls)
	}
	must(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	must(s.t, c.Auth(sasl.NewPlainClient("", "alice", "sesame")))
	return c
}

// wantCode checks that err is a reply.
func wantCode(t *testing.T, err error, code int, enhanced smtp.EnhancedCode) {
	t.Helper()
	var reply *smtp.SMTPError
	if !errors.As(err, &reply) || reply.Code != code || reply.EnhancedCode != enhanced {
		t.Errorf("got %v (%T), want %d %v", err, err, code, enhanced)
	}
}

func TestSMTPSend(t *testing.T) {
	large := "Subject: large\r\n\r\n" + strings.Repeat(".a line of some length, again and again\r\n", 50_000)
	for _, listener := range []string{"smtp", "smtps"} {
		t.Run(listener, func(t *testing.T) {
			s := start(t, nil)
			c := s.connect(listener)
			for i, text := range []string{letter, large, letter} {
				must(t, c.SendMail(from, []string{"bob@example.org"}, strings.NewReader(text)))
				s.wantDelivered("bob", i+1, text, "Return-Path: <alice@example.org>", "Delivered-To: bob@example.org", "with ESMTPSA")
			}
			must(t, c.Noop())
			must(t, c.Quit())
		})
	}
}

func TestSMTPAuth(t *testing.T) {
	s := start(t, nil)
	for _, c := range []struct {
		name string
		mech func(secret string) sasl.Client
	}{
		{"PLAIN", func(secret string) sasl.Client { return sasl.NewPlainClient("", "alice", secret) }},
		{"LOGIN", func(secret string) sasl.Client { return sasl.NewLoginClient("alice", secret) }},
		{"OAUTHBEARER", func(secret string) sasl.Client {
			return sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: "alice", Token: secret})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := smtp.DialStartTLS(s.Addr("smtp"), s.tls)
			must(t, err)
			t.Cleanup(func() { _ = client.Close() })
			if !client.SupportsAuth(c.name) {
				t.Errorf("%s is not offered", c.name)
			}
			wantCode(t, client.Mail(from, nil), 530, smtp.EnhancedCode{5, 7, 0})
			err = client.Auth(c.mech("open"))
			if bearer := new(sasl.OAuthBearerError); !errors.As(err, &bearer) { // the mechanism has an error of its own
				wantCode(t, err, 535, smtp.EnhancedCode{5, 7, 8})
			}
			must(t, client.Auth(c.mech("sesame")))
			must(t, client.Mail(from, nil))
		})
	}
	t.Run("cleartext", func(t *testing.T) {
		client, err := smtp.Dial(s.Addr("smtp"))
		must(t, err)
		t.Cleanup(func() { _ = client.Close() })
		if client.SupportsAuth("PLAIN") {
			t.Error("PLAIN is offered without TLS")
		}
	})
}

func TestSMTPParameters(t *testing.T) {
	s := start(t, nil)
	author := "alice+=x@example.org"
	for _, c := range []struct {
		name       string
		from, to   string
		user       string
		mail       smtp.MailOptions
		rcpt       smtp.RcptOptions
		text       string
		fields     []string
		extensions []string
	}{
		{"DSN", from, "bob@example.org", "bob", smtp.MailOptions{Return: smtp.DSNReturnHeaders, EnvelopeID: "a+b=c d"},
			smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifySuccess, smtp.DSNNotifyDelayed, smtp.DSNNotifyFailure},
				OriginalRecipientType: smtp.DSNAddressTypeRFC822, OriginalRecipient: "bob+list@example.org"}, letter, nil, []string{"DSN"}},
		{"DSN never", from, "bob@example.org", "bob", smtp.MailOptions{Return: smtp.DSNReturnFull},
			smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifyNever}}, letter, nil, nil},
		{"SMTPUTF8", "élan@bücher.example", "böb@bücher.example", "alice", smtp.MailOptions{UTF8: true},
			smtp.RcptOptions{OriginalRecipientType: smtp.DSNAddressTypeUTF8, OriginalRecipient: "böb@bücher.example"},
			"Subject: Grüße\r\n\r\nGrüße\r\n", []string{"Return-Path: <élan@bücher.example>", "with UTF8SMTPSA"}, []string{"SMTPUTF8"}},
		{"8BITMIME", from, "bob@example.org", "bob", smtp.MailOptions{Body: smtp.Body8BitMIME}, smtp.RcptOptions{}, "Subject: x\r\n\r\n\xe9\xff\r\n", nil, []string{"8BITMIME"}},
		{"SIZE", from, "bob@example.org", "bob", smtp.MailOptions{Size: int64(len(letter))}, smtp.RcptOptions{}, letter, nil, []string{"SIZE"}},
		{"REQUIRETLS", from, "bob@example.org", "bob", smtp.MailOptions{RequireTLS: true}, smtp.RcptOptions{}, letter, nil, []string{"REQUIRETLS"}},
		{"AUTH=", from, "bob@example.org", "bob", smtp.MailOptions{Auth: &author}, smtp.RcptOptions{}, letter, nil, []string{"AUTH"}},
		{"null path", "", "bob@example.org", "bob", smtp.MailOptions{}, smtp.RcptOptions{}, letter, []string{"Return-Path: <>"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.in(t)
			before := s.texts(c.user, "INBOX")
			client := s.connect("smtp")
			for _, name := range c.extensions {
				if ok, _ := client.Extension(name); !ok {
					t.Errorf("%s is not announced", name)
				}
			}
			must(t, client.Mail(c.from, &c.mail))
			must(t, client.Rcpt(c.to, &c.rcpt))
			w, err := client.Data()
			must(t, err)
			_, err = io.WriteString(w, c.text)
			must(t, err)
			done, err := w.CloseWithResponse()
			must(t, err)
			if done.StatusText == "" {
				t.Error("the reply has no text")
			}
			s.wantDelivered(c.user, len(before)+1, c.text, c.fields...)
		})
	}
}

func TestSMTPRefusals(t *testing.T) {
	s := start(t, func(o *server.Options) { o.MaxMessage, o.Domains = 1000, []string{"example.org"} })
	c := s.connect("smtp")
	if size, ok := c.MaxMessageSize(); !ok || size != 1000 {
		t.Errorf("SIZE: got %d, %v, want 1000", size, ok)
	}
	wantCode(t, c.Mail(from, &smtp.MailOptions{Size: 1001}), 552, smtp.EnhancedCode{5, 3, 4})
	must(t, c.Mail(from, nil))
	wantCode(t, c.Rcpt("bob@example.com", nil), 550, smtp.EnhancedCode{5, 7, 1})
	must(t, c.Rcpt("bob@example.org", nil))
	must(t, c.Reset())
	err := c.SendMail(from, []string{"bob@example.org"}, strings.NewReader("Subject: x\r\n\r\n"+strings.Repeat("0123456789\r\n", 100)))
	wantCode(t, err, 552, smtp.EnhancedCode{5, 3, 4})
	must(t, c.SendMail(from, []string{"bob@example.org"}, strings.NewReader(letter)))
	s.wantDelivered("bob", 1, letter)
}

func TestLMTP(t *testing.T) {
	s := start(t, func(o *server.Options) { o.RequireLogin, o.Domains = false, []string{"example.org"} })
	c := smtp.NewClientLMTP(s.dial("lmtp"))
	must(t, c.Hello("client.example.org"))
	for i := range 2 {
		must(t, c.Mail(from, nil))
		must(t, c.Rcpt("bob@example.org", nil))
		wantCode(t, c.Rcpt("carol@example.com", nil), 550, smtp.EnhancedCode{5, 7, 1})
		must(t, c.Rcpt("alice@example.org", nil))
		w, err := c.Data()
		must(t, err)
		_, err = io.WriteString(w, letter)
		must(t, err)
		replies, err := w.CloseWithLMTPResponse()
		must(t, err)
		if len(replies) != 2 || replies["bob@example.org"] == nil || replies["alice@example.org"] == nil {
			t.Errorf("got replies %v, want one for alice and one for bob", replies)
		}
		s.wantDelivered("bob", i+1, letter, "with LMTP")
		s.wantDelivered("alice", i+1, letter, "Delivered-To: alice@example.org")
	}
	must(t, c.Quit())
}
