package server

import (
	"strings"
)

// capa lists what the session can do now (RFC 2449 §5).
func (p *popSession) capa([]string) error {
	var lines []string
	add := func(extension, line string) {
		if p.has(extension) {
			lines = append(lines, line)
		}
	}
	add("TOP", "TOP")
	add("UIDL", "UIDL")
	add("RESP-CODES", "RESP-CODES")
	add("AUTH-RESP-CODE", "AUTH-RESP-CODE")
	add("PIPELINING", "PIPELINING")
	if p.hit.lie == lieLoginDelay {
		lines = append(lines, "LOGIN-DELAY "+popLoginDelay)
	}
	if p.hit.lie == lieExpire {
		add("EXPIRE", "EXPIRE 0")
	} else {
		add("EXPIRE", "EXPIRE NEVER")
	}
	add("UTF8", "UTF8 USER")
	add("LANG", "LANG")
	if names := p.mechanisms(); len(names) > 0 {
		add("SASL", "SASL "+strings.Join(names, " "))
	}
	if p.state() == popAuthorization {
		if p.cleartextOK() && p.havePasswords() {
			add("USER", "USER")
		}
		if p.conn.TLS() == nil {
			add("STLS", "STLS")
		}
	}
	add("IMPLEMENTATION", "IMPLEMENTATION mail")
	return p.listing("capabilities", lines)
}

// lang lists the one language, or chooses it (RFC 6856 §3.2).
func (p *popSession) lang(args []string) error {
	switch {
	case len(args) == 0:
		return p.listing("languages", []string{"en English"})
	case args[0] == "*" || strings.EqualFold(args[0], "en") || strings.EqualFold(args[0], "i-default"):
		return p.ok("en English")
	}
	return p.refuse("", "no such language")
}

// utf8Command allows UTF-8 in what follows (RFC 6856 §3.1). Messages are sent as they are with and without it.
func (p *popSession) utf8Command([]string) error {
	p.inUTF8 = true
	return p.ok("UTF-8 it is")
}
