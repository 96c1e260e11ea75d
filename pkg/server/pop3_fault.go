package server

// The lies of POP3 (Strike.Lie), beside lieWrongSize and lieVanished, which are those of IMAP too.
const (
	lieUIDL       = "uidl"        // UIDL tells other ids than before
	lieNoDot      = "no-dot"      // the dot that ends a text or a listing is left out
	lieInUse      = "in-use"      // the login is right, but the maildrop is locked by another session
	lieLoginDelay = "login-delay" // CAPA announces LOGIN-DELAY; the login is right, but too early
	lieExpire     = "expire"      // CAPA announces EXPIRE 0; QUIT deletes what RETR has sent
)

// popLoginDelay is what lieLoginDelay announces, in seconds (RFC 2449 §6.5).
const popLoginDelay = "900"

// told is the size of a message as the client hears it.
func (p *popSession) told(size int64) int64 {
	if p.hit.lie == lieWrongSize {
		size++
	}
	return size
}
