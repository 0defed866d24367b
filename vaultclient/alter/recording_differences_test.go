package alter_test

// difference is one between the SDK and this client that is meant. change makes
// of the SDK's recording of a step that of this client.
type difference struct {
	reason string
	steps  []string // nil: in all in which it changes something
	change func(*recorded)
}

func differences() []difference { return nil }

func allSteps() map[string]step {
	all := map[string]step{}
	for _, some := range []map[string]step{callSteps()} {
		for name, s := range some {
			all[name] = s
		}
	}
	return all
}
