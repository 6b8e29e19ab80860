package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdp "github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

const (
	// look is how often a condition on a page is looked at.
	look = 200 * time.Millisecond
	// patience is how long a page may take to show what it was asked for.
	patience = 3 * time.Minute
	// settle is how long a page may load before it is loaded again, at most so many times.
	settle  = 20 * time.Second
	reloads = 3
)

// browser is one tab of a real Chromium, used as a person uses it: by the mouse, the keyboard and what can be seen.
type browser struct {
	t *testing.T
	// ctx carries the tab, and ends the browser when the test ends.
	ctx context.Context
	// shots is the folder of the screenshots.
	shots string
}

func openBrowser(t *testing.T, shots string) *browser {
	t.Helper()
	options := append(cdp.DefaultExecAllocatorOptions[:], cdp.WindowSize(1440, 1400))
	if os.Geteuid() == 0 {
		// Chromium refuses its sandbox to root; the pages shown are our own.
		options = append(options, cdp.NoSandbox)
	}
	allocator, stop := cdp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, closeTab := cdp.NewContext(allocator)
	t.Cleanup(closeTab)
	require.NoError(t, os.RemoveAll(shots), "an old run's pictures would be taken for this one's")
	require.NoError(t, os.MkdirAll(shots, 0o755))
	b := &browser{t: t, ctx: ctx, shots: shots}
	// The first action starts the browser, and the end of its context would end the browser: it gets the tab's own.
	require.NoError(t, cdp.Do(ctx, cdp.Navigate("about:blank")), "start Chromium; tests/e2e/setup.sh installs it")
	return b
}

// do runs actions and names what they were for when they fail, with a picture of the page.
func (b *browser) do(what string, steps ...cdp.Action[cdp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := cdp.Do(ctx, steps...); err != nil {
		b.fail("%s: %v", what, err)
	}
}

// open goes to an address and waits for an element of the page. On a busy machine a page now and then stays empty, or
// shows the user interface's own "Internal Error"; a person loads it again, and so does this.
func (b *browser) open(address, css string) {
	b.t.Helper()
	b.do("open "+address, cdp.Navigate(address))
	for range reloads {
		if b.holds(settle, visible(css)) {
			return
		}
		b.do("reload "+address, cdp.Reload())
	}
	b.until("the page "+address, visible(css))
}

// until waits for a JavaScript condition to hold.
func (b *browser) until(what, condition string) {
	b.t.Helper()
	if !b.holds(patience, condition) {
		b.fail("waited %s for %s", patience, what)
	}
}

// holds waits for a condition, at most so long, and answers whether it came to hold.
func (b *browser) holds(long time.Duration, condition string) bool {
	ctx, cancel := context.WithTimeout(b.ctx, long)
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for !b.is(condition) {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// is evaluates a condition; while a page loads there is nothing to evaluate, which is not the condition.
func (b *browser) is(condition string) bool {
	ctx, cancel := context.WithTimeout(b.ctx, settle)
	defer cancel()
	holds, err := cdp.Run(ctx, cdp.Evaluate[bool]("Boolean("+condition+")"))
	return err == nil && holds
}

// text evaluates an expression that answers a text.
func (b *browser) text(expression string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, err := cdp.Run(ctx, cdp.Evaluate[string](expression))
	if err != nil {
		b.fail("%s: %v", expression, err)
	}
	return text
}

// click clicks with the mouse once the element has stopped moving: a click that hits beside a button that has just
// moved is lost without an error.
func (b *browser) click(css string) {
	b.t.Helper()
	b.until("the element "+css, visible(css))
	b.until("the element "+css+" to stand still", `(() => {
		const r = document.querySelector(`+quote(css)+`).getBoundingClientRect(), now = [r.x, r.y, r.width, r.height].join();
		const still = window.hiveSeen === now;
		window.hiveSeen = now;
		return still;
	})()`)
	b.do("click "+css, cdp.Click(cdp.CSS(css)))
}

// fill writes into an input as the keyboard does, in place of what stands there.
func (b *browser) fill(css, value string) {
	b.t.Helper()
	b.until("the field "+css, visible(css))
	b.do("fill "+css, cdp.Focus(cdp.CSS(css)), cdp.KeyEvent("a", cdp.KeyModifiers(cdp.ModifierCtrl)), cdp.SendKeys(cdp.CSS(css), value))
	b.until("the field "+css+" to hold "+value, `document.querySelector(`+quote(css)+`).value === `+quote(value))
}

// fillJSON writes into the page's editor and leaves it: the editor formats its text when it is left, and what stands
// below it moves.
func (b *browser) fillJSON(scope, value string) {
	b.t.Helper()
	editor := scope + ` .cm-content[contenteditable="true"]`
	b.until("the editor", visible(editor))
	b.do("fill the editor", cdp.Focus(cdp.CSS(editor)), cdp.KeyEvent("a", cdp.KeyModifiers(cdp.ModifierCtrl)), evaluate(
		`document.execCommand("insertText", false, `+quote(value)+`)`))
	b.do("leave the editor", evaluate(`document.activeElement.blur()`))
	b.until("the editor to hold "+value, `document.querySelector(`+quote(editor)+`).innerText.replace(/\s/g, "") === `+quote(strings.Join(strings.Fields(value), "")))
}

// shoot saves a picture of the page.
func (b *browser) shoot(name string) {
	b.t.Helper()
	if err := b.picture(name); err != nil {
		b.fail("picture %s: %v", name, err)
	}
}

func (b *browser) picture(name string) error {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := cdp.Run(ctx, cdp.FullScreenshot(100))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.shots, name+".png"), png, 0o644)
}

// fail ends the test with what was seen last.
func (b *browser) fail(format string, args ...any) {
	b.t.Helper()
	said := fmt.Sprintf(format, args...)
	if err := b.picture("failure"); err == nil {
		said += "; see " + filepath.Join(b.shots, "failure.png")
	} else if !errors.Is(err, context.Canceled) {
		said += "; no picture: " + err.Error()
	}
	require.FailNow(b.t, said)
}

// evaluate runs statements for their effect.
func evaluate(statements string) cdp.Action[cdp.Void] {
	return cdp.Func(func(ctx context.Context, t *cdp.Target) error {
		_, err := cdp.Evaluate[int]("(() => {"+statements+"; return 1})()")(ctx, t)
		return err
	})
}

// visible is the condition that an element stands on the page and takes up room.
func visible(css string) string {
	return `[...document.querySelectorAll(` + quote(css) + `)].some(e => e.getClientRects().length > 0)`
}

// quote makes a JavaScript text.
func quote(s string) string { return fmt.Sprintf("%q", s) }
