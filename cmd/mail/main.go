// Command mail is a toolkit for e-mail: small commands that pipe RFC 5322 messages and share one configuration.
//
// This package is flags, streams, words and exit codes; what a protocol or a format knows lives in pkg. One command is
// one file, named by its path: imap_fetch.go. Rules:
//
//   - Only main ends the process. Commands return errors; exit.go alone turns them into exit codes.
//   - Standard output carries data, standard error carries words. On a terminal both escape control characters.
//   - A command touches the outside world through its env, so that tests run it in the same process.
package main

import (
	"os"
)

// version is set by the linker: -X main.version=1.2.3.
var version = "devel"

func main() {
	ctx, stop := signalContext()
	code := run(ctx, newEnv(), os.Args)
	stop()
	os.Exit(code)
}
