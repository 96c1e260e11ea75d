package pop3

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
)

const marked = loggedIn + plainCapa + "C: DELE 1\nS: +OK\nC: DELE 3\nS: +OK\n"

func mark(t *testing.T, script string) *Client {
	t.Helper()
	c := login(t, script, nil)
	if err := c.Dele(within(t), []int{1, 3}); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestR1_Quit(t *testing.T) {
	cases := []struct {
		name, script string
		want         Outcome
		committed    bool
		temporary    bool
	}{
		{name: "+OK", script: "C: QUIT\nS: +OK bye", committed: true},
		{name: "-ERR", script: "C: QUIT\nS: -ERR some deleted messages not removed", want: Partial, temporary: true},
		{name: "-ERR [SYS/PERM]", script: "C: QUIT\nS: -ERR [SYS/PERM] read-only", want: Partial},
		{name: "EOF after QUIT", script: "C: QUIT\nCLOSE", want: Unknown, temporary: true},
		{name: "reset after QUIT", script: "C: QUIT\nRESET", want: Unknown, temporary: true},
		{name: "half a reply", script: "C: QUIT\nS> \"+O\"\nCLOSE", want: Unknown, temporary: true},
		{name: "a reply without its end", script: "C: QUIT\nS> \"+OK\"\nCLOSE", want: Unknown, temporary: true},
		{name: "garbage", script: "C: QUIT\nS: what", want: Unknown, temporary: true},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			c := mark(t, marked+tt.script)
			err := c.Quit(within(t))
			if tt.committed {
				if err != nil {
					t.Errorf("got %v, want nil", err)
				}
				return
			}
			var ce *CommitError
			if !errors.As(err, &ce) {
				t.Fatalf("got %v, want a *CommitError", err)
			}
			if ce.Outcome != tt.want || !reflect.DeepEqual(ce.Marked, []int{1, 3}) || ce.Temporary() != tt.temporary || ce.Err == nil || ce.Hint() == "" {
				t.Errorf("got %+v, temporary %v; want outcome %d for [1 3], temporary %v", ce, ce.Temporary(), tt.want, tt.temporary)
			}
			if !strings.Contains(err.Error(), tt.want.String()) {
				t.Errorf("got %q, want the outcome in words", err)
			}
		})
	}
}

func TestR1_LostBeforeQuit(t *testing.T) {
	c := mark(t, marked+"C: NOOP\nCLOSE")
	if err := c.Noop(within(t)); err == nil {
		t.Fatal("got a NOOP over a closed connection")
	}
	var ce *CommitError
	if err := c.Quit(within(t)); !errors.As(err, &ce) || ce.Outcome != NotCommitted {
		t.Errorf("got %v, want NotCommitted", err)
	}
	c = mark(t, marked+"EOF")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Quit(ctx); !errors.As(err, &ce) || ce.Outcome != NotCommitted || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want NotCommitted and the context's error", err)
	}
}

func TestR1_CloseDeletesNothing(t *testing.T) {
	c := mark(t, marked+"EOF") // EOF fails on QUIT
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestR1_RsetTakesMarksOff(t *testing.T) {
	c := mark(t, marked+"C: RSET\nS: +OK\nC: QUIT\nCLOSE")
	if got := c.Marked(); !reflect.DeepEqual(got, []int{1, 3}) {
		t.Errorf("got marks %v, want [1 3]", got)
	}
	if err := c.Rset(within(t)); err != nil || len(c.Marked()) != 0 {
		t.Errorf("got %v, marks %v; want none", err, c.Marked())
	}
	if err := c.Quit(within(t)); err != nil {
		t.Errorf("got %v, want nil: nothing was marked", err)
	}
	c = mark(t, marked+"C: RSET\nS: -ERR no\nEOF")
	if err := c.Rset(within(t)); err == nil || len(c.Marked()) != 2 {
		t.Errorf("got %v, marks %v; want an error and both marks", err, c.Marked())
	}
}

func TestR1_QuitWithoutMarks(t *testing.T) {
	for _, end := range []string{"S: +OK", "S: -ERR", "CLOSE", "S: what"} {
		c := login(t, loggedIn+"C: QUIT\n"+end, nil)
		if err := c.Quit(within(t)); err != nil {
			t.Errorf("%s: got %v, want nil", end, err)
		}
	}
}

func TestDele(t *testing.T) {
	c := login(t, pipelining+pipeCapa+`
		C> "DELE 1\r\nDELE 2\r\nDELE 3\r\n"
		S> "+OK\r\n-ERR message 2 already deleted\r\n+OK\r\n"
		C: QUIT
		S: +OK`, nil)
	err := c.Dele(within(t), []int{1, 2, 3})
	var partial *PartialError
	if !errors.As(err, &partial) || !reflect.DeepEqual(partial.Done, []int{1, 3}) || partial.Temporary() {
		t.Errorf("got %#v, want a *PartialError with 1 and 3 done", err)
	}
	if got := c.Marked(); !reflect.DeepEqual(got, []int{1, 3}) {
		t.Errorf("got marks %v, want [1 3]", got)
	}
	if err := c.Quit(within(t)); err != nil {
		t.Error(err)
	}
}
