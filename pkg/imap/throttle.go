package imap

import (
	"strconv"
	"strings"
	"time"
)

// throttles are the words with which servers say that a client has asked for
// too much in a short time, in lower case, and how long to wait when they do not
// say it.
var throttles = []struct {
	words string
	wait  time.Duration
}{
	{"suggested backoff time", 0},                      // Exchange Online: "Request is throttled. Suggested Backoff Time: 1500 milliseconds"
	{"command or bandwidth limits", time.Hour},         // Gmail: "[OVERQUOTA] Account exceeded command or bandwidth limits."
	{"bandwidth limit", time.Hour},                     // Gmail, in its web page's words
	{"[throttled]", 5 * time.Minute},                   // Gmail, behind the text
	{"too many simultaneous connections", time.Minute}, // Gmail
	{"maximum number of connections", time.Minute},     // Dovecot, Zoho
	{"too many connections", time.Minute},              // Courier, Cyrus, Exchange
	{"rate limit", 5 * time.Minute},                    // Yahoo: "[LIMIT] Rate limit hit"
	{"request is throttled", time.Minute},              // Exchange, without a time
	{"server is busy", time.Minute},                    // Exchange: "Server Busy"
	{"server busy", time.Minute},                       // Yahoo, Exchange
	{"too many invalid commands", time.Minute},         // Exchange
	{"temporarily unavailable", 0},                     // Yahoo, iCloud
	{"temporary system problem", 0},                    // Gmail: "Temporary System Problem.  Try again later"
	{"system error (failure)", 0},                      // Gmail
	{"try again later", 0},                             // Gmail, Yahoo
	{"throttled", time.Minute},                         // any
}

// throttle is how long the server's words ask to wait; ok is false when they
// speak of nothing of the kind.
func (e *Error) throttle() (wait time.Duration, ok bool) {
	switch e.Code { // wrong credentials stay wrong, and retries lock accounts
	case "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED":
		return 0, false
	}
	if e.NotFound() { // the words may be the mailbox's name
		return 0, false
	}
	text := strings.ToLower(e.Text)
	for _, t := range throttles {
		if strings.Contains(text, t.words) {
			if wait := suggested(text); wait > 0 {
				return wait, true
			}
			return t.wait, true
		}
	}
	switch e.Code {
	case "THROTTLED":
		return 5 * time.Minute, true
	case "LIMIT":
		return time.Minute, true
	}
	return 0, false
}

// maxSuggested bounds what a server may suggest.
const maxSuggested = 24 * time.Hour

// suggested reads "Suggested Backoff Time: 1500 milliseconds".
func suggested(text string) time.Duration {
	_, rest, ok := strings.Cut(text, "backoff time:")
	if !ok {
		return 0
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimRight(fields[0], ".,;"), 10, 32)
	if err != nil {
		return 0
	}
	unit := time.Millisecond
	if len(fields) > 1 && strings.HasPrefix(fields[1], "sec") {
		unit = time.Second
	}
	return min(time.Duration(n)*unit, maxSuggested)
}

// RetryAfter is how long the server asks to wait before the command is tried
// again, at most a day: as it says, or what is known of servers that say it in
// these words. 0 when it says nothing of the kind; whether to try again at all
// is told by [Error.Temporary].
func (e *Error) RetryAfter() time.Duration {
	wait, _ := e.throttle()
	return wait
}
