package interop

import (
	"fmt"
	"os"
	"strings"
)

// Memory reads a figure of /proc/PID/status, VmRSS or VmHWM, in octets; 0 when the process has ended.
func Memory(pid int, figure string) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "\n"+figure+":")
	var kb int64
	_, _ = fmt.Sscanf(rest, "%d kB", &kb) // stays 0
	return kb << 10
}
