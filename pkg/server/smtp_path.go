package server

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// smtpParam is an esmtp-param of RFC 5321 §4.1.2.
type smtpParam struct {
	name  string // in capitals
	value string
	set   bool // there is a value
}

// parsePath reads the argument of MAIL or RCPT after "FROM:" or "TO:": a path, without its source route and angle
// brackets, and the parameters (RFC 5321 §4.1.1.2, §4.1.1.3). No blank is allowed after the colon.
func parsePath(arg, keyword string) (addr string, params []smtpParam, err error) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", nil, fmt.Errorf("want %s<address>", keyword)
	}
	arg = arg[len(keyword):]
	end := pathEnd(arg)
	if end < 0 {
		return "", nil, errors.New("the address does not stand in angle brackets")
	}
	addr, err = stripRoute(arg[1 : end-1])
	if err != nil {
		return "", nil, err
	}
	params, err = parseParams(arg[end:])
	return addr, params, err
}

// pathEnd is the index after the ">" that ends the path at the start of s, or -1.
func pathEnd(s string) int {
	if !strings.HasPrefix(s, "<") {
		return -1
	}
	quoted := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i + 1
		}
	}
	return -1
}

// stripRoute takes off the source route, which a server accepts and ignores (RFC 5321 §4.1.1.3, appendix C).
func stripRoute(path string) (string, error) {
	if !strings.HasPrefix(path, "@") {
		return path, nil
	}
	route, addr, ok := strings.Cut(path, ":")
	if !ok {
		return "", errors.New("bad source route")
	}
	for hop := range strings.SplitSeq(route, ",") {
		domain, at := strings.CutPrefix(hop, "@")
		if !at || message.CheckDomain(domain) != nil {
			return "", errors.New("bad source route")
		}
	}
	return addr, nil
}

func parseParams(s string) ([]smtpParam, error) {
	var params []smtpParam
	for s != "" {
		rest, ok := strings.CutPrefix(s, " ")
		if !ok {
			return nil, errors.New("no blank between address and parameter")
		}
		var word string
		if i := strings.IndexByte(rest, ' '); i >= 0 {
			word, s = rest[:i], rest[i:]
		} else {
			word, s = rest, ""
		}
		p, err := parseParam(word)
		if err != nil {
			return nil, err
		}
		for _, q := range params {
			if q.name == p.name {
				return nil, fmt.Errorf("parameter %s twice", p.name)
			}
		}
		params = append(params, p)
	}
	return params, nil
}

func parseParam(word string) (smtpParam, error) {
	name, value, set := strings.Cut(word, "=")
	if name == "" || name[0] == '-' || strings.IndexFunc(name, notKeyword) >= 0 {
		return smtpParam{}, errors.New("bad parameter")
	}
	if set && (value == "" || strings.ContainsAny(value, "= ")) {
		return smtpParam{}, errors.New("bad parameter value")
	}
	return smtpParam{strings.ToUpper(name), value, set}, nil
}

func notKeyword(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-')
}
