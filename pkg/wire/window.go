package wire

// Window bounds how much may be under way on a pipelined connection: commands sent whose replies have not been read,
// and the octets that those replies are expected to bring. Without the second bound both ends can block on writing
// (RFC 2920 §3.1). The zero value allows one command.
type Window struct {
	MaxCommands int   // at least 1
	MaxBytes    int64 // 0 = no bound

	commands int
	bytes    int64
}

// Full is true when a reply must be read before the next command is sent. It is never true with nothing under way.
func (w *Window) Full() bool {
	if w.commands == 0 {
		return false
	}
	return w.commands >= max(w.MaxCommands, 1) || w.MaxBytes > 0 && w.bytes >= w.MaxBytes
}

// Sent counts a command whose reply is expected to have n octets.
func (w *Window) Sent(n int64) {
	w.commands++
	w.bytes += n
}

// Got takes the oldest command off, with the same n that Sent was given.
func (w *Window) Got(n int64) {
	w.commands--
	w.bytes -= n
}

// Pending is the number of commands under way.
func (w *Window) Pending() int { return w.commands }
