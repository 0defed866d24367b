// Package measure runs load and reads what it cost from /proc.
package measure

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ, which is 100 wherever Linux
// runs.
const tick = 10 * time.Millisecond

// Usage is what a process and all its descendants have used.
type Usage struct {
	CPU time.Duration // user and system, in steps of 10 ms each
	RSS int64         // bytes
}

// Of returns the usage of a process tree.
func Of(pid int) (Usage, error) {
	children, err := byParent()
	if err != nil {
		return Usage{}, err
	}
	var sum Usage
	for todo := []int{pid}; len(todo) > 0; todo = todo[1:] {
		todo = append(todo, children[todo[0]]...)
		s, err := readStat(todo[0])
		if err != nil {
			if todo[0] == pid {
				return Usage{}, fmt.Errorf("reading the usage of process %d: %w", pid, err)
			}
			continue // a child that has ended meanwhile
		}
		sum.CPU += s.cpu
		sum.RSS += s.rss
	}
	return sum, nil
}

type stat struct {
	parent int
	cpu    time.Duration // also of children that were waited for
	rss    int64
}

func byParent() (map[int][]int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, path := range paths {
		pid, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			continue
		}
		if s, err := readStat(pid); err == nil {
			children[s.parent] = append(children[s.parent], pid)
		}
	}
	return children, nil
}

// readStat reads /proc/<pid>/stat (proc_pid_stat(5)). What follows the name,
// which may hold blanks and brackets, begins with the third field.
func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const parent, userTime, pages = 4 - 3, 14 - 3, 24 - 3
	if len(fields) <= pages {
		return stat{}, fmt.Errorf("stat of process %d has %d fields", pid, len(fields))
	}
	numbers := make([]int64, len(fields))
	for i, field := range fields[1:] {
		numbers[i+1], _ = strconv.ParseInt(field, 10, 64) // larger ones are not used here
	}
	var ticks int64
	for _, n := range numbers[userTime : userTime+4] {
		ticks += n
	}
	return stat{int(numbers[parent]), time.Duration(ticks) * tick, numbers[pages] * int64(os.Getpagesize())}, nil
}

// Busy returns how long one CPU has been busy since the machine started,
// whoever used it.
func Busy(cpu string) (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 9 || fields[0] != "cpu"+cpu {
			continue
		}
		var ticks int64
		for i, field := range fields[1:9] {
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("reading /proc/stat: %w", err)
			}
			if i != 3 && i != 4 { // idle, and waiting for disks
				ticks += n
			}
		}
		return time.Duration(ticks) * tick, nil
	}
	return 0, fmt.Errorf("there is no CPU %s", cpu)
}
