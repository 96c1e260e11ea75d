package wiretest

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// step is one line of a script.
type step struct {
	line   int    // in the script, from 1
	text   string // as written, for reports
	verb   string // "S:", "TLS" …
	pieces []piece
	raw    []byte // of S>, C>, FLOOD, C{n} "…"
	hasRaw bool
	arg    string // variable of SEND and C{$n}, certificate of TLS
	n      int64  // of SPLIT and C{n}
	wait   time.Duration
}

// parse reads a whole script: one slice of steps for each connection.
func parse(script string, o *options) ([][]step, error) {
	conns := [][]step{nil}
	for i, line := range strings.Split(script, "\n") {
		line = strings.TrimLeft(strings.TrimSuffix(line, "\r"), " \t")
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		s, err := parseStep(line)
		if err == nil && s.verb == "OPT" {
			err = o.set(s.arg)
		}
		if err != nil {
			return nil, fmt.Errorf("script line %d: %s: %w", i+1, line, err)
		}
		s.line, s.text = i+1, line
		last := len(conns) - 1
		switch {
		case s.verb == "OPT":
		case s.verb == "CONN" && last == 0 && len(conns[0]) == 0:
			// A CONN before the first step names the first connection.
		case s.verb == "CONN":
			conns = append(conns, nil)
		default:
			conns[last] = append(conns[last], s)
		}
	}
	return conns, nil
}

// parseStep reads one line without its indentation.
func parseStep(line string) (step, error) {
	for _, verb := range []string{"S:", "C:", "C?"} {
		if text, ok := strings.CutPrefix(line, verb); ok {
			pieces, err := parseTemplate(strings.TrimPrefix(text, " "), verb != "S:")
			return step{verb: verb, pieces: pieces}, err
		}
	}
	if strings.HasPrefix(line, "C{") {
		return parseOctets(line)
	}
	verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	rest = strings.TrimSpace(rest)
	s := step{verb: verb}
	var err error
	switch verb {
	case "S>", "C>", "FLOOD":
		s.raw, err = unquote(rest)
		if err == nil && len(s.raw) == 0 {
			err = fmt.Errorf("no bytes")
		}
	case "SEND", "OPT":
		s.arg = rest
		if rest == "" {
			err = fmt.Errorf("argument missing")
		}
	case "TLS", "TLSFAIL":
		s.arg = rest
		if _, known := shapes[rest]; rest != "" && !known {
			err = fmt.Errorf("no certificate named %q", rest)
		}
	case "SPLIT":
		s.n, err = strconv.ParseInt(rest, 10, 32)
	case "SLEEP", "QUIET":
		s.wait, err = time.ParseDuration(rest)
	case "C.", "EOF", "HANG", "HALFCLOSE", "CLOSE", "CUT", "RESET", "CONN":
		if rest != "" {
			err = fmt.Errorf("takes no argument")
		}
	default:
		err = fmt.Errorf("unknown step")
	}
	return s, err
}

// parseOctets reads C{n}, C{$name} and C{n} "expected".
func parseOctets(line string) (step, error) {
	count, rest, ok := strings.Cut(line[2:], "}")
	if !ok {
		return step{}, fmt.Errorf("closing brace missing")
	}
	s := step{verb: "C{}"}
	var err error
	if name, isVar := strings.CutPrefix(count, "$"); isVar {
		s.arg = name
	} else if s.n, err = strconv.ParseInt(count, 10, 64); err != nil {
		return s, err
	}
	if rest = strings.TrimSpace(rest); rest != "" {
		s.raw, err = unquote(rest)
		s.hasRaw = true
	}
	return s, err
}

func unquote(s string) ([]byte, error) {
	text, err := strconv.Unquote(s)
	if err != nil {
		return nil, fmt.Errorf("a Go string literal expected: %w", err)
	}
	return []byte(text), nil
}
