package server

import "fmt"

// dele marks a message; QUIT deletes it (RFC 1939 §5).
func (p *popSession) dele(args []string) error {
	m, n, err := p.message(args[0])
	if m == nil {
		return err
	}
	m.deleted = true
	return p.ok(fmt.Sprintf("message %d marked", n))
}

// rset takes all marks away.
func (p *popSession) rset([]string) error {
	for i := range p.drop {
		p.drop[i].deleted = false
	}
	count, size := p.totals()
	return p.ok(fmt.Sprintf("maildrop has %d messages (%d octets)", count, size))
}

// quit is the UPDATE state (RFC 1939 §6): the marked messages go, the maildrop is free again, and only then the reply
// is sent. No other end of a session deletes anything.
func (p *popSession) quit([]string) error {
	p.over = true
	var uids []uint32
	for _, m := range p.drop {
		if m.deleted || m.fetched && p.hit.lie == lieExpire {
			uids = append(uids, m.uid)
		}
	}
	if len(uids) > 0 {
		if _, err := p.box.Expunge(uids); err != nil {
			p.log.Error("update", "error", err)
			return p.refuse("SYS/TEMP", "deleted messages are still there")
		}
	}
	p.release()
	return p.ok("bye")
}
