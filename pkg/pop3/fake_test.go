package pop3

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fake is a POP3 server for tests that need an answer to every question instead of a script.
type fake struct {
	greeting string
	caps     []string          // nil: CAPA is refused
	messages []string          // dot-stuffed, each with its last CRLF; number 1 first
	override map[string]string // replies by the command line or its verb, raw
	deleted  map[int]bool
	commit   bool // QUIT was seen
	seen     []string
}

// serve talks to one client until QUIT or the end.
func (f *fake) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	f.deleted = map[int]bool{}
	r := bufio.NewReader(c)
	w := bufio.NewWriterSize(c, 64<<10)
	fmt.Fprintf(w, "%s\r\n", f.greeting)
	for {
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		f.seen = append(f.seen, line)
		f.answer(w, line)
		if line == "QUIT" {
			f.commit = true
			_ = w.Flush()
			return
		}
	}
}

func (f *fake) answer(w io.Writer, line string) {
	verb, arg, _ := strings.Cut(line, " ")
	if reply, ok := f.scripted(line); ok {
		fmt.Fprintf(w, "%s\r\n", reply)
		return
	}
	switch verb {
	case "CAPA":
		if f.caps == nil {
			fmt.Fprint(w, "-ERR Unrecognized command\r\n")
			return
		}
		fmt.Fprintf(w, "+OK\r\n%s\r\n.\r\n", strings.Join(f.caps, "\r\n"))
	case "STAT":
		total := 0
		for _, m := range f.messages {
			total += len(m)
		}
		fmt.Fprintf(w, "+OK %d %d\r\n", len(f.messages), total)
	case "LIST", "UIDL":
		f.listing(w, verb, arg)
	case "RETR", "TOP":
		n, _ := strconv.Atoi(strings.Fields(arg + " 0")[0])
		if n < 1 || n > len(f.messages) || f.deleted[n] {
			fmt.Fprint(w, "-ERR no such message\r\n")
			return
		}
		fmt.Fprint(w, "+OK\r\n")
		_, _ = io.WriteString(w, f.messages[n-1])
		fmt.Fprint(w, ".\r\n")
	case "DELE":
		n, _ := strconv.Atoi(arg)
		f.deleted[n] = true
		fmt.Fprint(w, "+OK\r\n")
	case "USER", "PASS", "APOP", "NOOP", "RSET", "QUIT":
		fmt.Fprint(w, "+OK\r\n")
	default:
		fmt.Fprint(w, "-ERR Unrecognized command\r\n")
	}
}

// scripted finds the reply for a line. An initial response (RFC 5034) that is met by a go-ahead counts as the answer
// to it.
func (f *fake) scripted(line string) (string, bool) {
	words := strings.Fields(line)
	if len(words) == 0 {
		reply, ok := f.override[""]
		return reply, ok
	}
	reply, ok := f.override[line]
	for n := min(2, len(words)); !ok && n > 0; n-- {
		reply, ok = f.override[strings.Join(words[:n], " ")]
	}
	if ok && words[0] == "AUTH" && len(words) == 3 && strings.TrimSpace(reply) == "+" {
		ir := words[2]
		if ir == "=" {
			ir = ""
		}
		reply, ok = f.override[ir]
	}
	return reply, ok
}

func (f *fake) listing(w io.Writer, verb, arg string) {
	line := func(n int) string {
		if verb == "UIDL" {
			return fmt.Sprintf("%d uid-%d\r\n", n, n)
		}
		return fmt.Sprintf("%d %d\r\n", n, len(f.messages[n-1]))
	}
	if arg != "" {
		n, _ := strconv.Atoi(arg)
		fmt.Fprintf(w, "+OK %s", line(n))
		return
	}
	fmt.Fprint(w, "+OK\r\n")
	for i := range f.messages {
		fmt.Fprint(w, line(i+1))
	}
	fmt.Fprint(w, ".\r\n")
}

// start serves one connection on loopback; wrap may put something between. wait returns when the server is done.
func (f *fake) start(t testing.TB, wrap func(net.Conn) net.Conn) (addr string, wait func()) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		c, err := l.Accept()
		_ = l.Close()
		if err != nil {
			return
		}
		if wrap != nil {
			c = wrap(c)
		}
		f.serve(c)
	}()
	wait = func() { _ = l.Close(); wg.Wait() }
	t.Cleanup(wait)
	return l.Addr().String(), wait
}
