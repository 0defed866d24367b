package altermcp

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "alter-mcp",
		Usage: "<command>",
		Short: "Looks up providers and their operations in the Alter Vault, and writes tools",
		Long: `
Asks the Alter Vault which providers its app knows and what their APIs can do,
and makes tools for the Caddyfile of it.

The API key is that of the configuration given by --config, of the alter_mcp
block that --endpoint names if there are several; else that of the environment
variable ALTER_API_KEY; else that of the Caddyfile in the current directory. It
needs the scope providers:read. The vault is where the configuration says, or
else the environment variable ALTER_BASE_URL.`,
		CobraFunc: addCommands,
	})
}

// commandTime bounds a command.
const commandTime = 2 * time.Minute

// addCommands adds what `caddy alter-mcp` has below it.
func addCommands(root *cobra.Command) {
	w := new(whichVault)
	flags := root.PersistentFlags()
	flags.StringVarP(&w.config, "config", "c", "", "Configuration file with the API key")
	flags.StringVarP(&w.adapter, "adapter", "a", "", "Name of the config adapter; default: caddyfile, unless the file ends in .json")
	flags.StringVar(&w.endpoint, "endpoint", "", "Path of the alter_mcp whose key to use, if there are several")
	root.AddCommand(providersCommand(w), operationsCommand(w), toolCommand(w))
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("alter-mcp has no command %q; there are operations, providers, tool", args[0])
		}
		return cmd.Help()
	}
}

func providersCommand(w *whichVault) *cobra.Command {
	return &cobra.Command{
		Use:   "providers [<search>]",
		Short: "Lists the providers that the app knows, by the names that tools have for them",
		Long: `
Lists the providers that people of the app can connect: the name that a tool has
for it, its title, the scopes that are asked for where nobody says otherwise, the
API hosts as far as this module knows them (others are those of the tools, or of
api_hosts), and how many operations of its API the vault describes.

A search keeps those with that text in their name, title or category.`,
		Example: "  caddy alter-mcp providers --config Caddyfile mail",
		Args:    cobra.MaximumNArgs(1),
		RunE: w.run(func(ctx context.Context, cmd *cobra.Command, c *alter.Client, args []string) error {
			return listProviders(ctx, c, cmd.OutOrStdout(), cmd.ErrOrStderr(), optional(args, 0))
		}),
	}
}

func operationsCommand(w *whichVault) *cobra.Command {
	var kind string
	cmd := &cobra.Command{
		Use:   "operations <provider> [<search>]",
		Short: "Lists the operations of a provider's API",
		Long: `
Lists the operations of a provider's API that the vault describes: the id, by
which "tool" knows it, method, path and summary.

A search keeps those with that text in their id, path or summary.`,
		Example: "  caddy alter-mcp operations github issues",
		Args:    cobra.RangeArgs(1, 2),
		RunE: w.run(func(ctx context.Context, cmd *cobra.Command, c *alter.Client, args []string) error {
			return listOperations(ctx, c, cmd.OutOrStdout(), catalogued{kind: alter.SpecKind(kind), provider: args[0]}, optional(args, 1))
		}),
	}
	kindFlag(cmd, &kind)
	return cmd
}

func toolCommand(w *whichVault) *cobra.Command {
	var kind string
	var o toolOptions
	cmd := &cobra.Command{
		Use:   "tool <provider> <operation>",
		Short: "Writes the tool block of an operation, for the Caddyfile",
		Long: `
Writes a tool block that makes the request of an operation with the calling
person's grant: its parameters and the members of its body become inputs. Read it
before it goes into a Caddyfile, above all the description: a model chooses the
tool by it.

What an input cannot say, such as a list of objects, is left out where it is
optional, which a comment tells. --schema takes it along: it writes the JSON
Schema of the arguments to a file, which the block refers to.

The vault says no host of an API unless the path has one. Then it is --base-url,
without which the base of GitHub's and Slack's public API is taken for these.`,
		Example: "  caddy alter-mcp tool github issues/create",
		Args:    cobra.ExactArgs(2),
		RunE: w.run(func(ctx context.Context, cmd *cobra.Command, c *alter.Client, args []string) error {
			return writeTool(ctx, c, cmd.OutOrStdout(), catalogued{kind: alter.SpecKind(kind), provider: args[0]}, args[1], o)
		}),
	}
	cmd.Flags().StringVar(&o.name, "name", "", "Name of the tool; default: made of the operation's id")
	cmd.Flags().StringVar(&o.baseURL, "base-url", "", "URL that stands before the operation's path")
	cmd.Flags().StringVar(&o.schemaFile, "schema", "", "File to write the JSON Schema of the arguments to, in place of inputs")
	kindFlag(cmd, &kind)
	return cmd
}

func kindFlag(cmd *cobra.Command, kind *string) {
	cmd.Flags().StringVar(kind, "kind", "", "oauth or managed; default: oauth, or managed if there is no such provider")
}

func optional(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

// run makes a command of what asks the vault.
func (w *whichVault) run(do func(context.Context, *cobra.Command, *alter.Client, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, commandTime)
		defer cancel()
		c, err := w.client()
		if err != nil {
			return err
		}
		defer c.Close()
		return explainCommand(do(ctx, cmd, c, args), c)
	}
}
