package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
)

// api asks a running console. The operators' commands go through it rather than
// to the stores: the embedded store is its process's alone, and who may do what,
// the audit log and what is masked are decided in one place.
type api struct {
	base, token string
}

// apiFlags are those of every command that asks the console.
func apiFlags(cmd *cobra.Command) {
	cmd.PersistentFlags().String("url", "", "the console's `address` (default: admin.public_url, or admin.addr on this machine)")
	cmd.PersistentFlags().String("token", "", "an API `token` (default: admin.token, which is $PIXEL_ADMIN_TOKEN)")
	cmd.PersistentFlags().Bool("json", false, "print what the API answers, for programs")
}

func dial(cmd *cobra.Command) (*api, error) {
	c, err := load(cmd, nil)
	if err != nil {
		return nil, err
	}
	a := &api{}
	a.base, _ = cmd.Flags().GetString("url")
	a.token, _ = cmd.Flags().GetString("token")
	if a.token == "" {
		a.token = c.Admin.Token
	}
	if a.base == "" {
		a.base = c.Admin.PublicURL
	}
	if a.base == "" {
		a.base = "http://" + reachable(c.Admin.Addr)
	}
	if u, err := url.Parse(a.base); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usageError{fmt.Errorf("--url must be an address such as http://localhost:8081, not %q", a.base)}
	}
	if a.token == "" {
		return nil, usageError{errors.New("no API token: make one in the console under People, and give it as $PIXEL_ADMIN_TOKEN or --token")}
	}
	return a, nil
}

// call asks, and decodes the answer into v, which may be nil.
func (a *api) call(ctx context.Context, method, path string, body, v any) error {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(a.base, "/")+"/api/v1"+path, in)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	client := http.Client{Timeout: 2 * time.Minute}
	resp, err := client.Do(req)
	if err != nil {
		if _, refused := errors.AsType[*net.OpError](err); refused {
			return fmt.Errorf("no console answers at %s: start one (pixel serve), or give its address with --url", a.base)
		}
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return a.refusal(resp.StatusCode, b)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(b, v)
}

// refusal says what a problem says.
func (a *api) refusal(status int, body []byte) error {
	var p struct {
		Detail string `json:"detail"`
		Errors []struct {
			Pointer string `json:"pointer"`
			Detail  string `json:"detail"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &p) != nil || p.Detail == "" {
		return fmt.Errorf("%s answered %d, and not as a console does: is that its address?", a.base, status)
	}
	var b strings.Builder
	b.WriteString(p.Detail)
	for _, e := range p.Errors {
		fmt.Fprintf(&b, "\n  %s: %s", strings.TrimPrefix(e.Pointer, "/"), e.Detail)
	}
	if status == http.StatusUnauthorized {
		b.WriteString(" (is the token right?)")
	}
	return errors.New(b.String())
}

// wantsJSON reports whether the answer is for a program.
func wantsJSON(cmd *cobra.Command) bool {
	is, _ := cmd.Flags().GetBool("json")
	return is
}

// soFar shows how far a command is, on a terminal; "" when it is done.
func soFar(cmd *cobra.Command, text string) {
	if f, ok := cmd.ErrOrStderr().(*os.File); ok && terminal(f) {
		fmt.Fprint(f, "\r\033[K"+text)
	}
}

// terminal reports whether somebody may be there to read, or to be asked.
func terminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// printJSON writes a value on lines of its own.
func printJSON(cmd *cobra.Command, v any) error {
	b, err := json.Marshal(v, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), string(b))
	return err
}

// columns writes rows under a head.
func columns(w io.Writer, head string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, head)
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	_ = t.Flush()
}

// sure asks, unless told not to; somebody who cannot be asked must say so before.
func sure(cmd *cobra.Command, question string) error {
	if yes, _ := cmd.Flags().GetBool("yes"); yes {
		return nil
	}
	if f, ok := cmd.InOrStdin().(*os.File); ok && !terminal(f) {
		return usageError{errors.New("this cannot be undone; say --yes, or --dry-run to see what it would do")}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	var answer string
	_, _ = fmt.Fscanln(cmd.InOrStdin(), &answer)
	if strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes") {
		return nil
	}
	return errors.New("nothing was done")
}

// agoText says how long ago something was, in one unit.
func agoText(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
