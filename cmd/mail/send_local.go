package main

import (
	"os"
	"regexp"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// localHost is the name of this machine, as far as it can stand in an address; else "".
func localHost() string {
	host, err := os.Hostname()
	if err != nil || message.CheckDomain(host) != nil {
		return ""
	}
	return host
}

// bareAddress is one name of a user without a domain in a header, as programs of this machine write it: root (Cron
// Daemon).
var bareAddress = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9._+-]*)(\s*(?:\([^()]*\))?)$`)

// qualify gives the users of this machine, whom programs name without a domain in a header, the domain that other
// machines need.
func qualify(h *message.Header) {
	host := localHost()
	if host == "" {
		return
	}
	for i, f := range h.Fields {
		switch strings.ToLower(f.Name) {
		case "from", "sender", "reply-to", "to", "cc", "bcc":
		default:
			continue
		}
		words := splitList(f.Value())
		changed := false
		for j, word := range words {
			if m := bareAddress.FindStringSubmatch(strings.TrimSpace(word)); m != nil {
				words[j], changed = " "+m[1]+"@"+host+m[2], true
			}
		}
		line := message.Header{End: h.End}
		if changed && line.Add(f.Name, strings.TrimSpace(strings.Join(words, ","))) == nil {
			h.Fields[i] = line.Fields[0]
		}
	}
}

// splitList cuts a list of addresses at its commas, not at those within quotes and comments.
func splitList(list string) (words []string) {
	quoted, depth, from := false, 0, 0
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\':
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth <= 0:
			words, from = append(words, list[from:i]), i+1
		}
	}
	return append(words, list[from:])
}
