package smtp

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// BodyType says which octets a body has (RFC 6152, RFC 3030).
type BodyType string

// The body types.
const (
	BodyUnknown BodyType = ""           // declared as 8BITMIME where offered; elsewhere an octet above 127 is an error
	Body7Bit    BodyType = "7BIT"       // no octet above 127
	Body8Bit    BodyType = "8BITMIME"   // needs a server with 8BITMIME
	BodyBinary  BodyType = "BINARYMIME" // any octets, lines of any length: needs BINARYMIME and CHUNKING
)

// Envelope is what the server is told about one message.
type Envelope struct {
	From string   // reverse-path without <>; "" is the null path of a report
	Rcpt []string // forward-paths without <>, at least one
	Size int64    // octets of the body in wire form; 0: not known. A body of another size is a *BodyError
	Body BodyType // what is in the body
	UTF8 bool     // the header has UTF-8: needs a server with SMTPUTF8 (RFC 6531). Addresses are looked at by Send
	DSN  *DSN     // delivery status notifications; nil: the server's default

	RequireTLS bool // every later hop must use verified TLS too: needs REQUIRETLS (RFC 8689)
	AllOrNone  bool // one refused recipient holds the message back from all
}

// Notify is when a delivery status notification is asked for (RFC 3461 §4.1).
type Notify int

// The occasions, to be added up; NotifyNever stands alone. Zero leaves it to the server.
const (
	NotifySuccess Notify = 1 << iota
	NotifyFailure
	NotifyDelay
	NotifyNever
)

// ParseNotify reads a list such as "success,failure,delay", or "never".
func ParseNotify(list string) (Notify, error) {
	names := map[string]Notify{"success": NotifySuccess, "failure": NotifyFailure, "delay": NotifyDelay, "never": NotifyNever}
	var n Notify
	for _, word := range strings.Split(list, ",") {
		one, ok := names[strings.ToLower(strings.TrimSpace(word))]
		if !ok {
			return 0, fmt.Errorf("unknown occasion %q for a notification: known are success, failure, delay and never", word)
		}
		n |= one
	}
	if n&NotifyNever != 0 && n != NotifyNever {
		return 0, fmt.Errorf("never cannot be combined with other occasions: %q", list)
	}
	return n, nil
}

func (n Notify) String() string {
	var words []string
	for i, word := range []string{"SUCCESS", "FAILURE", "DELAY", "NEVER"} {
		if n&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, ",")
}

// DSN asks for delivery status notifications (RFC 3461). A server that does not offer DSN is not asked.
type DSN struct {
	Notify Notify // for every recipient
	Return string // "FULL" or "HDRS": how much of the message a report brings back; "": the server's choice
	EnvID  string // comes back in the report; printable ASCII, at most 100 octets in encoded form
}

func (d *DSN) check() error {
	switch {
	case d.Notify&NotifyNever != 0 && d.Notify != NotifyNever:
		return &wire.ArgumentError{Msg: "NOTIFY=NEVER cannot be combined with other occasions"}
	case d.Return != "" && d.Return != "FULL" && d.Return != "HDRS":
		return &wire.ArgumentError{Msg: fmt.Sprintf("RET must be FULL or HDRS, not %q", d.Return)}
	}
	for i := range len(d.EnvID) {
		if b := d.EnvID[i]; b < ' ' || b >= 0x7f {
			return &wire.ArgumentError{Msg: fmt.Sprintf("the envelope id has a character that is not printable ASCII: %q", d.EnvID)}
		}
	}
	if n := len(xtext(d.EnvID)); n > 100 {
		return &wire.ArgumentError{Msg: fmt.Sprintf("the envelope id has %d octets in encoded form, 100 are allowed", n)}
	}
	return nil
}

// xtext encodes what stands in an ESMTP parameter (RFC 3461 §4).
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// originalRecipient is the value of ORCPT (RFC 3461 §4.2; RFC 6533 §3 for addresses with UTF-8).
func originalRecipient(addr string) string {
	if ascii(addr) {
		return "rfc822;" + xtext(addr)
	}
	var b strings.Builder
	for _, r := range addr {
		if r <= ' ' || r == 0x7f || r == '+' || r == '=' || r == '\\' {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return "utf-8;" + b.String()
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

const maxAddress = 512 // octets; RFC 5321 §4.5.3.1.3 promises 254, UTF-8 and long local parts exist

// checkAddress refuses what could leave its place in a command: an address has no control characters anywhere, quoted
// or not (RFC 5321 §4.1.2, RFC 6531 §3.3), no space outside quotes and no brackets. A local part without a domain is
// let through (postmaster, and users of LMTP).
func checkAddress(addr string) error {
	bad := func(why string) error {
		return &wire.ArgumentError{Msg: fmt.Sprintf("address %q %s", shorten(addr, 100), why)}
	}
	switch {
	case addr == "":
		return bad("is empty")
	case len(addr) > maxAddress:
		return bad(fmt.Sprintf("is longer than %d octets", maxAddress))
	case !utf8.ValidString(addr):
		return bad("is not UTF-8")
	}
	for _, r := range addr {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return bad("has a control character")
		}
	}
	rest, ok := skipLocalPart(addr)
	switch {
	case !ok:
		return bad("has a local part that cannot be sent")
	case rest == "":
		return nil
	case !goodDomain(rest[1:]):
		return bad("has a domain that cannot be sent")
	}
	return nil
}

// skipLocalPart returns what follows the local part: nothing, or "@" and the domain.
func skipLocalPart(addr string) (rest string, ok bool) {
	if addr[0] != '"' {
		i := strings.IndexByte(addr, '@')
		if i < 0 {
			i = len(addr)
		}
		return addr[i:], i > 0 && !strings.ContainsAny(addr[:i], ` ()<>[]:;\,"`)
	}
	for i := 1; i < len(addr); i++ {
		switch addr[i] {
		case '\\':
			i++
		case '"':
			rest = addr[i+1:]
			return rest, rest == "" || rest[0] == '@'
		}
	}
	return "", false
}

func goodDomain(d string) bool {
	if strings.HasPrefix(d, "[") && strings.HasSuffix(d, "]") { // an address literal, RFC 5321 §4.1.3
		return !strings.ContainsAny(d[1:len(d)-1], ` []\<>`)
	}
	return d != "" && !strings.ContainsAny(d, ` ()<>[]:;\,"@`)
}

// plan is an envelope as command lines, checked against what the server offers.
type plan struct {
	mail     string
	rcpt     []string // "" for a recipient beyond the limit
	limit    *LimitError
	ascii    bool // the body must not have octets above 127
	chunking bool
	binary   bool
	each     bool // one final reply for each recipient
}

// plan checks every argument and every need of env before a single octet is sent.
func (c *Client) plan(env *Envelope) (*plan, error) {
	if len(env.Rcpt) == 0 {
		return nil, &wire.ArgumentError{Msg: "the envelope has no recipient"}
	}
	for i, addr := range append([]string{env.From}, env.Rcpt...) {
		if i == 0 && addr == "" { // the null reverse-path
			continue
		}
		if err := checkAddress(addr); err != nil {
			return nil, err
		}
	}
	if env.DSN != nil {
		if err := env.DSN.check(); err != nil {
			return nil, err
		}
	}
	p := &plan{each: c.lmtp()}
	params, err := c.mailParams(env, p)
	if err != nil {
		return nil, err
	}
	p.mail = "MAIL FROM:<" + c.path(env.From) + ">" + params
	_, dsn := c.Extension("DSN")
	for _, addr := range env.Rcpt {
		addr = c.path(addr)
		p.rcpt = append(p.rcpt, "RCPT TO:<"+addr+">"+rcptParams(addr, env.DSN, dsn))
	}
	if c.limit(env, p); p.limit != nil && env.AllOrNone {
		return nil, &CapabilityError{"LIMITS", p.limit.Error() + ", and this one goes to all or to none"}
	}
	return p, nil
}

// limit takes the recipients off that are beyond what the server takes for one message (RFC 9422 §4.2 and §4.3).
func (c *Client) limit(env *Envelope, p *plan) {
	recipients, domains := c.Limit("RCPTMAX"), c.Limit("RCPTDOMAINMAX")
	known := map[string]bool{}
	planned := 0
	for i, addr := range env.Rcpt {
		domain := strings.ToLower(addr[strings.LastIndexByte(addr, '@')+1:])
		switch {
		case recipients > 0 && planned == recipients:
			p.limit, p.rcpt[i] = &LimitError{"RCPTMAX", recipients}, ""
		case domains > 0 && !known[domain] && len(known) == domains:
			p.limit, p.rcpt[i] = &LimitError{"RCPTDOMAINMAX", domains}, ""
		default:
			known[domain] = true
			planned++
		}
	}
}

// path is how an address is sent. To a server without SMTPUTF8 a domain goes in its ASCII form (RFC 5890 §2.3.2.1),
// which is the same domain; nothing can be done for a local part.
func (c *Client) path(addr string) string {
	if _, ok := c.Extension("SMTPUTF8"); ok || ascii(addr) {
		return addr
	}
	at := strings.LastIndexByte(addr, '@')
	if at < 0 || !ascii(addr[:at]) {
		return addr
	}
	domain, err := idna.Lookup.ToASCII(addr[at+1:])
	if err != nil {
		return addr
	}
	return addr[:at+1] + domain
}

func rcptParams(addr string, d *DSN, offered bool) string {
	if d == nil || !offered {
		return ""
	}
	params := ""
	if d.Notify != 0 {
		params = " NOTIFY=" + d.Notify.String()
	}
	return params + " ORCPT=" + originalRecipient(addr)
}

// mailParams is what follows the reverse-path, in a fixed order.
func (c *Client) mailParams(env *Envelope, p *plan) (string, error) {
	var b strings.Builder
	if err := c.sizeParam(&b, env); err != nil {
		return "", err
	}
	if err := c.bodyParam(&b, env, p); err != nil {
		return "", err
	}
	if why := c.whyUTF8(env); why != "" {
		if _, ok := c.Extension("SMTPUTF8"); !ok {
			return "", &CapabilityError{"SMTPUTF8", "the server does not offer SMTPUTF8, which " + why + " needs"}
		}
		b.WriteString(" SMTPUTF8")
	}
	if _, ok := c.Extension("DSN"); ok && env.DSN != nil {
		if env.DSN.Return != "" {
			b.WriteString(" RET=" + env.DSN.Return)
		}
		if env.DSN.EnvID != "" {
			b.WriteString(" ENVID=" + xtext(env.DSN.EnvID))
		}
	}
	if env.RequireTLS {
		if _, ok := c.Extension("REQUIRETLS"); !ok || c.conn.TLS() == nil {
			return "", &CapabilityError{"REQUIRETLS", "the server does not promise TLS for every later hop (REQUIRETLS)"}
		}
		b.WriteString(" REQUIRETLS")
	}
	return b.String(), nil
}

// sizeParam announces the size (RFC 1870 §5) and saves the upload of what the server will not take.
func (c *Client) sizeParam(b *strings.Builder, env *Envelope) error {
	if _, ok := c.Extension("SIZE"); !ok || env.Size <= 0 {
		return nil
	}
	if limit := c.MaxSize(); limit > 0 && env.Size > limit {
		return &CapabilityError{"SIZE", fmt.Sprintf("the message has %d octets and the server takes at most %d", env.Size, limit)}
	}
	b.WriteString(" SIZE=" + strconv.FormatInt(env.Size, 10))
	return nil
}

// bodyParam settles how octets above 127 travel (RFC 6152 §3, RFC 3030 §3).
func (c *Client) bodyParam(b *strings.Builder, env *Envelope, p *plan) error {
	_, eight := c.Extension("8BITMIME")
	_, chunking := c.Extension("CHUNKING")
	p.chunking = chunking && !c.opt.NoChunking
	switch env.Body {
	case Body8Bit:
		if !eight {
			return &CapabilityError{"8BITMIME", "the server does not offer 8BITMIME, which octets above 127 in the message need"}
		}
	case BodyBinary:
		if !c.Takes(BodyBinary) {
			return &CapabilityError{"BINARYMIME", "the server does not offer BINARYMIME and CHUNKING, which the message needs"}
		}
		p.binary = true
		b.WriteString(" BODY=BINARYMIME")
		return nil
	case Body7Bit:
		p.ascii = true
		return nil
	case BodyUnknown:
	default:
		return &wire.ArgumentError{Msg: fmt.Sprintf("unknown body type %q", env.Body)}
	}
	p.ascii = !eight
	if eight {
		b.WriteString(" BODY=8BITMIME")
	}
	return nil
}

// whyUTF8 names what in the envelope needs SMTPUTF8 on this server; "" when nothing does.
func (c *Client) whyUTF8(env *Envelope) string {
	for _, addr := range append([]string{env.From}, env.Rcpt...) {
		if !ascii(c.path(addr)) {
			return "the address " + strconv.Quote(addr)
		}
	}
	if env.UTF8 {
		return "UTF-8 in the header"
	}
	return ""
}

// Takes tells whether a body of this type can be sent through the server as it is: how to prepare a message for it.
// Anything else would have to be encoded first (RFC 6152 §3), which is not to be done to a signed message.
func (c *Client) Takes(b BodyType) bool {
	_, eight := c.Extension("8BITMIME")
	_, chunking := c.Extension("CHUNKING")
	_, binary := c.Extension("BINARYMIME")
	switch b {
	case Body8Bit:
		return eight
	case BodyBinary:
		return binary && chunking && !c.opt.NoChunking
	}
	return true
}
