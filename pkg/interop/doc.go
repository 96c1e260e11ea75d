// Package interop runs the engines against real servers. It is for tests only:
//
//	func TestMain(m *testing.M) { interop.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		d := interop.Dovecot(t)      // IMAP and POP3
//		p := interop.Postfix(t)      // SMTP, delivering into Dovecot's mailboxes
//		alice := d.AddUser(t)        // a fresh account
//		…
//	}
//
// A server that is not installed skips the test and says why. One private instance of
// each serves a whole test process; it has its own configuration, free ports on
// 127.0.0.1, a certificate of the authority of package wiretest, and a temporary folder.
// Other instances on the machine are not touched.
//
// Each server runs under a small watcher that holds a pipe to the test process. When
// the process ends, in whatever way, the pipe closes; the watcher stops the server and
// removes the folder. [Main] does the same and waits for it.
//
// Dovecot (2.3) runs as root or as an ordinary user; Postfix needs root.
package interop
