package pop3

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestStat(t *testing.T) {
	cases := []struct {
		reply string
		want  Stat
		ok    bool
	}{
		{"+OK 2 320", Stat{2, 320}, true},
		{"+OK 0 0", Stat{}, true},
		{"+OK 3 4294967800", Stat{3, 4294967800}, true},
		{"+OK 2 320 two new", Stat{2, 320}, true},
		{"+OK  2\t320 ", Stat{2, 320}, true},
		{"+OK 2147483647 9223372036854775807", Stat{math.MaxInt32, math.MaxInt64}, true},
		{"+OK 2147483648 1", Stat{}, false},
		{"+OK 1 9223372036854775808", Stat{}, false},
		{"+OK 1 18446744073709551616", Stat{}, false},
		{"+OK -1 1", Stat{}, false},
		{"+OK +1 1", Stat{}, false},
		{"+OK 1 -1", Stat{}, false},
		{"+OK 007 0010", Stat{7, 10}, true},
		{"+OK 1x 1", Stat{}, false},
		{"+OK 7", Stat{}, false},
		{"+OK 7 #octets", Stat{}, false},
		{"+OK seven 10", Stat{}, false},
		{"+OK", Stat{}, false},
	}
	for _, tt := range cases {
		t.Run(tt.reply, func(t *testing.T) {
			c := login(t, loggedIn+lines("C: STAT", "S: "+tt.reply, "C: NOOP", "S: +OK", "C? QUIT"), nil)
			got, err := c.Stat(within(t))
			if (err == nil) != tt.ok || got != tt.want {
				t.Errorf("got %+v, %v; want %+v, ok %v", got, err, tt.want, tt.ok)
			}
			if !tt.ok {
				wantProtocol(t, err)
			}
			if err := c.Noop(within(t)); err != nil {
				t.Errorf("the session did not go on: %v", err)
			}
		})
	}
}

func TestList(t *testing.T) {
	cases := []struct {
		name, listing string
		want          []Entry
		ok            bool
	}{
		{"two", "1 120|2 200", []Entry{{1, 120}, {2, 200}}, true},
		{"empty", "", nil, true},
		{"gaps", "2 1|5 1|2147483647 9223372036854775807", []Entry{{2, 1}, {5, 1}, {math.MaxInt32, math.MaxInt64}}, true},
		{"not ascending", "3 1|1 1", []Entry{{3, 1}, {1, 1}}, true},
		{"more words", "1 120 octets", []Entry{{1, 120}}, true},
		{"zero size", "1 0", []Entry{{1, 0}}, true},
		{"twice", "1 120|1 120", nil, false},
		{"number 0", "0 120", nil, false},
		{"number too large", "2147483648 1", nil, false},
		{"size too large", "1 9223372036854775808", nil, false},
		{"negative", "-1 5", nil, false},
		{"no size", "1", nil, false},
		{"words", "one 120", nil, false},
		{"empty line", "1 1||2 2", nil, false},
		{"bad line, then good", "x|2 2", nil, false},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			script := loggedIn + "C: LIST\nS: +OK\n"
			if tt.listing != "" {
				script += "S: " + strings.ReplaceAll(tt.listing, "|", "\nS: ") + "\n"
			}
			c := login(t, script+lines("S: .", "C: NOOP", "S: +OK", "C? QUIT"), nil)
			got, err := c.List(within(t))
			if (err == nil) != tt.ok || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v; want %+v, ok %v", got, err, tt.want, tt.ok)
			}
			if !tt.ok {
				wantProtocol(t, err)
			}
			if err := c.Noop(within(t)); err != nil {
				t.Errorf("the session did not go on: %v", err)
			}
		})
	}
}

func TestScan(t *testing.T) {
	c := login(t, loggedIn+lines("C: LIST", "S: +OK", "S: 5000 3", "S: 2 1", "S: 2147483647 9223372036854775807", "S: 1 0", "S: 1000001 7", "S: 1000000 8", "S: .",
		"C: LIST", "S: +OK", "S: 7 1", "S: 7 1", "S: .", "C? QUIT"), nil)
	if n, err := c.Scan(within(t)); n != 6 || err != nil {
		t.Fatalf("got %d messages, %v; want 6", n, err)
	}
	want := []Entry{{1, 0}, {2, 1}, {5000, 3}, {1000000, 8}, {1000001, 7}, {math.MaxInt32, math.MaxInt64}}
	listed := func(name string) {
		if got := slices.Collect(c.Listed()); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		for _, e := range want {
			if size, ok := c.Size(e.Number); size != e.Size || !ok {
				t.Errorf("%s: got size %d, %v, want that of %+v", name, size, ok, e)
			}
		}
		for _, n := range []int{-1, 0, 3, 4095, 4999, 999999, 1000002} {
			if size, ok := c.Size(n); ok {
				t.Errorf("%s: got size %d of message %d, want none", name, size, n)
			}
		}
	}
	listed("first")
	_, err := c.Scan(within(t))
	wantProtocol(t, err)
	listed("after a listing that failed")
}

func TestNumberSet(t *testing.T) {
	var s NumberSet
	numbers := []int{1, 63, 64, 65, 128, 1 << 20, math.MaxInt32}
	for _, n := range numbers {
		if s.Has(n) || !s.Add(n) || !s.Has(n) || s.Add(n) {
			t.Errorf("%d: want it to be new once", n)
		}
	}
	for _, n := range []int{2, 62, 66, 127, 1<<20 + 1} {
		if s.Has(n) {
			t.Errorf("got %d in the set, want only %v", n, numbers)
		}
	}
}

func TestS12_UidlEach(t *testing.T) {
	listing := lines("C: UIDL", "S: +OK", "S: 3 same", "S: 1 same", "S: 2 two words", "S: 4 "+strings.Repeat("y", 200), "S: .", "C: NOOP", "S: +OK", "C? QUIT")
	stop := errors.New("stop")
	for _, last := range []error{nil, stop} {
		c := login(t, loggedIn+listing, nil)
		var got []UID
		err := c.UidlEach(within(t), func(n int, id []byte, flaw Flaw) error {
			got = append(got, UID{n, string(id), flaw})
			return last
		})
		want := []UID{{3, "same", NoFlaw}, {1, "same", NoFlaw}, {2, "two words", BadID}, {4, strings.Repeat("y", maxKeptBadID), BadID}}
		if last != nil {
			want = want[:1]
		}
		if err != last || !slices.Equal(got, want) {
			t.Errorf("got %v, %v; want %v, %v", got, err, want, last)
		}
		if err := c.Noop(within(t)); err != nil {
			t.Errorf("the session did not go on: %v", err)
		}
	}
	c := login(t, loggedIn+lines("C: UIDL", "S: +OK", "S: 1 a", "S: 1 b", "S: .", "C? QUIT"), nil)
	wantProtocol(t, c.UidlEach(within(t), func(int, []byte, Flaw) error { return nil }))
}

func TestListSome(t *testing.T) {
	for _, pipelined := range []bool{false, true} {
		script := loggedIn + "C: CAPA\nS: -ERR\nC: LIST 2\nS: +OK 2 200\nC: LIST 9\nS: -ERR no such message\nC: LIST 4\nS: +OK 4 400\nC? QUIT"
		if pipelined {
			script = pipelining + pipeCapa + "C: LIST 2\nC: LIST 9\nC: LIST 4\nS: +OK 2 200\nS: -ERR no such message\nS: +OK 4 400\nC? QUIT"
		}
		c := login(t, script, nil)
		got, err := c.List(within(t), 2, 9, 4)
		if want := []Entry{{2, 200}, {4, 400}}; !reflect.DeepEqual(got, want) {
			t.Errorf("pipelined %v: got %v, want %v", pipelined, got, want)
		}
		var partial *PartialError
		if !errors.As(err, &partial) || !reflect.DeepEqual(partial.Done, []int{2, 4}) || len(partial.Refused) != 1 || partial.Refused[0].Number != 9 {
			t.Errorf("pipelined %v: got %#v, want a *PartialError about 9", pipelined, err)
		}
	}
	for _, reply := range []string{"+OK 99 1024", "+OK 1", "+OK 1 ten", "+OK"} {
		c := login(t, loggedIn+"C: LIST 1\nS: "+reply+"\nC? QUIT", nil)
		_, err := c.List(within(t), 1)
		wantProtocol(t, err)
	}
}

func TestS12_Uidl(t *testing.T) {
	long := strings.Repeat("x", 70)
	script := loggedIn + lines("C: UIDL", "S: +OK",
		"S: 1 whqtswO00WBw418f9t5JxYwZ",
		"S: 2 "+long,
		"S: 3 "+long+"x",
		"S: 4 two words",
		`S> "5 nul\x00\r\n"`,
		"S: 6",
		"S: 7 same",
		"S: 8 same",
		`S> "9 \xc3\xa9\r\n"`,
		"S: 10 trailing ",
		"S: 11 !~",
		"S: 12 "+strings.Repeat("y", 1000),
		"S: 13 same",
		"S: .", "C? QUIT")
	c := login(t, script, nil)
	got, err := c.Uidl(within(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []UID{
		{1, "whqtswO00WBw418f9t5JxYwZ", NoFlaw}, {2, long, NoFlaw}, {3, long + "x", BadID}, {4, "two words", BadID},
		{5, "nul\x00", BadID}, {6, "", BadID}, {7, "same", DuplicateID}, {8, "same", DuplicateID}, {9, "é", BadID},
		{10, "trailing", NoFlaw}, {11, "!~", NoFlaw}, {12, strings.Repeat("y", maxKeptBadID), BadID}, {13, "same", DuplicateID},
	}
	if len(got) != len(want) {
		t.Fatalf("got %d ids, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
}

func TestS12_UidlNumbers(t *testing.T) {
	for _, listing := range []string{"1 a\nS: 1 b", "0 a", "x a", "2147483648 a", "-1 a"} {
		c := login(t, loggedIn+"C: UIDL\nS: +OK\nS: "+listing+"\nS: .\nC: NOOP\nS: +OK\nC? QUIT", nil)
		_, err := c.Uidl(within(t))
		wantProtocol(t, err)
		if err := c.Noop(within(t)); err != nil {
			t.Errorf("%q: the session did not go on: %v", listing, err)
		}
	}
}

func TestUidlSome(t *testing.T) {
	c := login(t, pipelining+pipeCapa+"C: UIDL 1\nC: UIDL 3\nS: +OK 1 abc\nS: +OK 3 a b\nC: UIDL 2\nS: +OK 1 abc\nC? QUIT", nil)
	got, err := c.Uidl(within(t), 1, 3)
	if want := []UID{{1, "abc", NoFlaw}, {3, "a b", BadID}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	_, err = c.Uidl(within(t), 2)
	wantProtocol(t, err)
}

func TestS12_ListingBrokenOff(t *testing.T) {
	for _, verb := range []string{"LIST", "UIDL"} {
		for _, end := range []string{"S: -ERR disk full", "S: -ERR", "CLOSE", "RESET"} {
			t.Run(verb+" "+end, func(t *testing.T) {
				c := login(t, loggedIn+"C: "+verb+"\nS: +OK\nS: 1 10\n"+end+"\nHANG", nil)
				var err error
				if verb == "LIST" {
					_, err = c.List(within(t))
				} else {
					_, err = c.Uidl(within(t))
				}
				if err == nil || c.conn.Err() == nil {
					t.Errorf("got error %v and a living session, want both ended", err)
				}
			})
		}
	}
}

func TestS12_BareLFInListing(t *testing.T) {
	c := login(t, loggedIn+`C: LIST
		S> "+OK\n1 10\n2 20\r\n.\n"
		C? QUIT`, nil)
	got, err := c.List(within(t))
	if want := []Entry{{1, 10}, {2, 20}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

func TestS3_EndlessReplies(t *testing.T) {
	cases := []struct {
		name, command, flood string
		call                 func(ctx context.Context, c *Client) error
	}{
		{"status line", "STAT", `S> "+OK "` + "\n" + `FLOOD "1111111111111111"`, func(ctx context.Context, c *Client) error { _, err := c.Stat(ctx); return err }},
		{"LIST line", "LIST", `S> "+OK\r\n1 "` + "\n" + `FLOOD "1111111111111111"`, func(ctx context.Context, c *Client) error { _, err := c.List(ctx); return err }},
		{"UIDL line", "UIDL", `S> "+OK\r\n1 "` + "\n" + `FLOOD "xxxxxxxxxxxxxxxx"`, func(ctx context.Context, c *Client) error { _, err := c.Uidl(ctx); return err }},
		{"LIST lines", "LIST", "S: +OK\n" + `FLOOD "` + strings.Repeat(`1 1\r\n2 2\r\nx\r\n`, 1000) + `"`, func(ctx context.Context, c *Client) error { _, err := c.List(ctx); return err }},
		{"UIDL lines", "UIDL", "S: +OK\n" + `FLOOD "1 ` + strings.Repeat("x", 20000) + `\r\n"`, func(ctx context.Context, c *Client) error { _, err := c.Uidl(ctx); return err }},
		{"CAPA lines", "CAPA", "S: +OK\n" + `FLOOD "` + strings.Repeat(`X-A\r\nX-B\r\n`, 100) + `"`, func(ctx context.Context, c *Client) error { _, err := c.Caps(ctx); return err }},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			c := login(t, loggedIn+"C: "+tt.command+"\n"+tt.flood, nil)
			wantProtocol(t, tt.call(within(t), c))
			if c.conn.Err() == nil {
				t.Error("the session lives on, want it ended")
			}
		})
	}
}

func TestS3_Caps(t *testing.T) {
	for _, tt := range []struct {
		n  int
		ok bool
	}{{maxCapaLines - 1, true}, {maxCapaLines, true}, {maxCapaLines + 1, false}} {
		script := fmt.Sprintf("%sC: CAPA\nS: +OK\nS> %q\nS: .\nC? QUIT", greeted, strings.Repeat("X-CAP\r\n", tt.n))
		c, err := dialScript(t, script, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Caps(within(t))
		if (err == nil) != tt.ok {
			t.Errorf("%d capabilities: got %v, want ok %v", tt.n, err, tt.ok)
		}
		if tt.ok && len(got.Lines) != tt.n {
			t.Errorf("got %d capabilities, want %d", len(got.Lines), tt.n)
		}
	}
	for _, n := range []int{maxLine - 1, maxLine, maxLine + 1} {
		c, err := dialScript(t, fmt.Sprintf("%sC: CAPA\nS: -ERR ${rep:%d:x}\nC? QUIT", greeted, n-len("-ERR ")), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Caps(within(t)); (err == nil) != (n <= maxLine) {
			t.Errorf("line of %d: got %v", n, err)
		}
	}
}
