package measure

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for name, c := range map[string]struct {
		spread Spread
		median float64
		shown  string
	}{
		"nothing was measured":     {nil, 0, "-"},
		"one round":                {Spread{61.26}, 61.26, "61.3"},
		"an odd number of rounds":  {Spread{3, 1, 200}, 3, "3.00 (1.00..200)"},
		"an even number of rounds": {Spread{4, 1, 2, 30}, 3, "3.00 (1.00..30.0)"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.spread.Median(); got != c.median {
				t.Errorf("median %v, want %v", got, c.median)
			}
			if got := c.spread.String(); got != c.shown {
				t.Errorf("shown as %q, want %q", got, c.shown)
			}
		})
	}
}

func TestDriveMakesEachCallOnce(t *testing.T) {
	const calls = 1000
	var made [calls]atomic.Int32
	timing, err := Drive(Plan{Workers: 7, Calls: calls}, func(worker, i int) error {
		if worker < 0 || worker > 6 {
			t.Errorf("worker %d", worker)
		}
		made[i].Add(1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range made {
		if n := made[i].Load(); n != 1 {
			t.Errorf("call %d was made %d times", i, n)
		}
	}
	if timing.Calls != calls || timing.PerSecond() <= 0 || timing.Quantile(.99) < timing.Quantile(.5) {
		t.Errorf("timing %+v", timing)
	}
}

func TestDriveEndsAtAnError(t *testing.T) {
	wrong := errors.New("wrong answer")
	var made atomic.Int32
	_, err := Drive(Plan{Workers: 4, Calls: 1 << 30}, func(_, i int) error {
		if made.Add(1) == 100 {
			return wrong
		}
		return nil
	})
	if !errors.Is(err, wrong) {
		t.Errorf("error %v, want %v", err, wrong)
	}
}

// A call that is answered late makes those behind it late, and that counts.
func TestDriveWithARateCountsFromWhenACallWasDue(t *testing.T) {
	const slow = 50 * time.Millisecond
	timing, err := Drive(Plan{Workers: 1, Calls: 3, Rate: 1000}, func(_, i int) error {
		if i == 0 {
			<-time.After(slow)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := timing.Quantile(.5); got < slow-5*time.Millisecond {
		t.Errorf("median latency %v: the calls behind the slow one were due %v before it was answered", got, slow)
	}
}

func TestUsage(t *testing.T) {
	before, err := Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if before.RSS < 1<<20 {
		t.Errorf("this process has %d bytes of memory", before.RSS)
	}
	after := before
	for begin := time.Now(); after.CPU < before.CPU+5*tick; {
		if time.Since(begin) > time.Minute {
			t.Fatalf("CPU time stays at %v", after.CPU)
		}
		if after, err = Of(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Of(1 << 30); err == nil {
		t.Error("a process that does not exist has a usage")
	}
	if busy, err := Busy("0"); err != nil || busy <= 0 {
		t.Errorf("CPU 0 was busy for %v, %v", busy, err)
	}
	if _, err := Busy("4711"); err == nil {
		t.Error("a CPU that does not exist was busy")
	}
}
