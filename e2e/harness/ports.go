package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreePorts returns n different ports of the loopback interface that nobody
// listens on.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		ln, err := listenAnywhere()
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() // at the end, so that none is given twice
		ports[i] = ln.Addr().(*net.TCPAddr).Port
	}
	return ports
}

// listenAnywhere takes a free port below those that the system gives to whoever
// connects, which could take it before a server does, or while it is restarted.
func listenAnywhere() (net.Listener, error) {
	var busy error
	for range 100 {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 11000+rand.IntN(20000)))
		if err == nil {
			return ln, nil
		}
		busy = err
	}
	return nil, fmt.Errorf("finding a free port: %w", busy)
}
