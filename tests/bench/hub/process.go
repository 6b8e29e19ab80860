package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// rss is a process's resident memory in bytes.
func rss(cmd *exec.Cmd) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", cmd.Process.Pid))
	fields := strings.Fields(string(raw))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// cpu is a process's time on the cores, or our own; the kernel counts in hundredths.
func cpu(cmd *exec.Cmd) time.Duration {
	who := "self"
	if cmd != nil {
		who = strconv.Itoa(cmd.Process.Pid)
	}
	raw, err := os.ReadFile("/proc/" + who + "/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
