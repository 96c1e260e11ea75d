package pop3

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

func TestMailkitReplies(t *testing.T) {
	dir := filepath.Join(corpora, "mailkit-sample", "Pop3", "Resources", "comcast")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no mailkit-sample beside the repository")
	}
	type call func(c *Client) error
	ctx := within(t)
	stat := func(c *Client) error { _, err := c.Stat(ctx); return err }
	list := func(c *Client) error { _, err := c.List(ctx); return err }
	list1 := func(c *Client) error { _, err := c.List(ctx, 1); return err }
	capa := func(c *Client) error { _, err := c.Caps(ctx); return err }
	noop := func(c *Client) error { return c.Noop(ctx) }
	quit := func(c *Client) error { return c.Quit(ctx) }
	cases := []struct {
		file, command string
		call          call
		good          bool
	}{
		{"stat.txt", "STAT", stat, true}, {"stat-error1.txt", "STAT", stat, false}, {"stat-error2.txt", "STAT", stat, false},
		{"stat-error3.txt", "STAT", stat, false}, {"err.txt", "STAT", stat, false},
		{"list.txt", "LIST", list, true}, {"list-error1.txt", "LIST", list, false}, {"list-error3.txt", "LIST", list, false},
		{"list-error2.txt", "LIST", list, true}, // a gap in the numbers, which we take
		{"list1.txt", "LIST 1", list1, true}, {"list1-error1.txt", "LIST 1", list1, false}, {"list1-error2.txt", "LIST 1", list1, false},
		{"list1-error3.txt", "LIST 1", list1, false}, {"err.txt", "LIST 1", list1, false},
		{"capa1.txt", "CAPA", capa, true}, {"capa2.txt", "CAPA", capa, true}, {"ok.txt", "NOOP", noop, true}, {"quit.txt", "QUIT", quit, true},
	}
	for _, tt := range cases {
		t.Run(tt.file+" "+tt.command, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join(dir, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			greetings, err := os.ReadFile(filepath.Join(dir, "greeting.txt"))
			if err != nil {
				t.Fatal(err)
			}
			addr := wiretest.Serve(t, "SEND greeting\n"+strings.TrimPrefix(loggedIn, greeted)+"C: "+tt.command+"\nSEND reply\nC? QUIT",
				wiretest.Var("greeting", wireForm(greetings)), wiretest.Var("reply", wireForm(raw)))
			c, err := Dial(ctx, endpointOf(t, addr, wire.Cleartext), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Auth(ctx, alice()); err != nil {
				t.Fatal(err)
			}
			err = tt.call(c)
			if (err == nil) != tt.good {
				t.Errorf("got %v, want good %v", err, tt.good)
			}
			var refused *Error
			if !tt.good && !errors.As(err, &refused) {
				wantProtocol(t, err)
			}
			_ = c.Close()
		})
	}
}

// wireForm ends every line by CRLF, the last one too.
func wireForm(text []byte) string {
	return strings.ReplaceAll(strings.TrimSuffix(string(text), "\n"), "\n", "\r\n") + "\r\n"
}
