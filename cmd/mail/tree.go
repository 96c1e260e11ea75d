package main

import "github.com/urfave/cli/v2"

// commands is the whole tree, in the order of the help: one line for each top-level command.
func (e *env) commands() []*cli.Command {
	return []*cli.Command{
		e.sendCommand(),
		e.popCommand(),
		e.imapCommand(),
		e.mimeCommand(),
		e.backupCommand(),
		e.boxCommand(),
		e.serveCommand(),
		e.accountCommand(),
		e.completionCommand(),
		e.helpCommand(),
	}
}
