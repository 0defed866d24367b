package harness

import "testing"

// ClaudeCode returns the command line of Claude Code and settings for
// [Environment] that let it run without an account: with a model that nobody
// answers for, unless ANTHROPIC_BASE_URL is set to another address.
func ClaudeCode(t testing.TB) (command, settings []string) {
	t.Helper()
	command = []string{
		Installed(t, "bin", "node"),
		Installed(t, "ts", "node_modules", "@anthropic-ai", "claude-code", "cli-wrapper.cjs"),
	}
	return command, []string{
		"ANTHROPIC_API_KEY=none",
		"ANTHROPIC_BASE_URL=http://127.0.0.1:9", // discard; or each command would wait for the real one
		"ENABLE_TOOL_SEARCH=false",
		"MCP_CONNECTION_NONBLOCKING=0",
	}
}
