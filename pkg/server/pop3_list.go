package server

import "fmt"

// stat counts what is not deleted (RFC 1939 §5).
func (p *popSession) stat([]string) error {
	count, size := p.totals()
	return p.ok(fmt.Sprintf("%d %d", count, p.told(size)))
}

func (p *popSession) totals() (count int, size int64) {
	for i := range p.drop {
		if !p.drop[i].deleted {
			count++
			size += p.drop[i].size
		}
	}
	return count, size
}

// list gives numbers and sizes in octets, of one message or of all.
func (p *popSession) list(args []string) error {
	count, size := p.totals()
	return p.each(args, fmt.Sprintf("%d messages (%d octets)", count, p.told(size)), func(n int, m *popMessage) string {
		return fmt.Sprintf("%d %d", n, p.told(m.size))
	})
}

// uidl gives numbers and the ids that stay the same in all sessions (RFC 1939 §7): UIDVALIDITY and UID.
func (p *popSession) uidl(args []string) error {
	prefix := ""
	if p.hit.lie == lieUIDL {
		prefix = "0."
	}
	return p.each(args, "", func(n int, m *popMessage) string { return fmt.Sprintf("%d %s%s", n, prefix, m.id) })
}

// each answers for the message in args, or with a listing of all that are not deleted.
func (p *popSession) each(args []string, title string, line func(n int, m *popMessage) string) error {
	if len(args) == 1 {
		m, n, err := p.message(args[0])
		if m == nil {
			return err
		}
		return p.ok(line(n, m))
	}
	var lines []string
	for i := range p.drop {
		if m := &p.drop[i]; !m.deleted {
			lines = append(lines, line(i+1, m))
		}
	}
	if p.hit.lie == lieVanished && len(lines) > 0 {
		lines = lines[1:]
	}
	return p.listing(title, lines)
}
