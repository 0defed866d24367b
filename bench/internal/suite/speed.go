package suite

import (
	"runtime"
	"syscall"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// checkOfBounds is what a check of a password took, in µs, on the machine where
// the bounds in µs and per second were set.
const checkOfBounds = 812

// atBoundsSpeed ends the names of figures as they would be on that machine.
const atBoundsSpeed = ", at the bounds' speed"

// machineSpeed is how fast this machine is now beside that one: 0.5 takes twice as
// long. Machines that share their processors change from minute to minute, so
// each round has its own.
func machineSpeed() (float64, error) {
	check, err := bcryptMicroseconds()
	return checkOfBounds / check, err
}

// bcryptMicroseconds is what a check of a password costs on this machine.
func bcryptMicroseconds() (float64, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcryptCost)
	if err != nil {
		return 0, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const times = 100
	begin, err := threadTime()
	if err != nil {
		return 0, err
	}
	for range times {
		if err := bcrypt.CompareHashAndPassword(hash, []byte(password)); err != nil {
			return 0, err
		}
	}
	end, err := threadTime()
	return float64((end - begin).Microseconds()) / times, err
}

// threadTime is the CPU time of the thread, which does not hold what others take.
func threadTime() (time.Duration, error) {
	const thread = 1 // RUSAGE_THREAD of Linux
	var u syscall.Rusage
	err := syscall.Getrusage(thread, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}
