// Package imapwire is the grammar of IMAP (RFC 3501, RFC 9051) and nothing
// else: it turns lines and literals into values and values into lines and
// literals. It opens no connection, knows no command and keeps no state beyond
// the response or command at hand; both the client engine and a server can
// stand on it.
//
// A [Decoder] has one method per grammar element and a sticky error: after the
// first defect every method returns a zero value and [Decoder.Err] tells what
// was wrong, so that a parser reads like the grammar and checks once. All
// lengths, counts and depths from the network are capped by [Limits]; nothing
// is allocated because a peer announced it. Known defects of servers are
// tolerated by the table in quirk.go, and only those.
//
// An [Encoder] is the only place that chooses between atom, quoted string and
// literal, so that no argument can become a second argument or a second
// command.
//
// Both belong to one goroutine.
package imapwire
