package bootstrap

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/docker/docker/api/types/image"
)

// manifestType is what the engine pushes; a registry answers other forms to those
// who do not ask for it.
const manifestType = "application/vnd.docker.distribution.manifest.v2+json"

// push sends what the tag names to the registry.
func (b *builder) push(ctx context.Context, tag string, t *task) error {
	nobody := base64.URLEncoding.EncodeToString([]byte("{}"))
	body, err := b.api.ImagePush(ctx, tag, image.PushOptions{RegistryAuth: nobody})
	if err != nil {
		return fmt.Errorf("push of %s: %w", tag, err)
	}
	defer body.Close()
	err = stream(body, func(m message) { t.at("push: %s", strings.TrimSpace(m.Status+" "+m.ID)) })
	if err != nil {
		return fmt.Errorf("push of %s: %w; the registry's own words: hive logs registry", tag, err)
	}
	return nil
}

// repository splits 127.0.0.1:5000/leanvibe/x:2.0 into leanvibe/x and 2.0.
func repository(image string) (name, tag string) {
	name, tag, _ = strings.Cut(strings.TrimPrefix(image, registryAddress+"/"), ":")
	return name, tag
}

// manifest asks the registry for what the image's tag names there.
func manifest(ctx context.Context, image string) (body []byte, found bool, err error) {
	name, tag := repository(image)
	answer, body, err := ask(ctx, http.MethodGet, name, tag, nil)
	switch {
	case err != nil:
		return nil, false, err
	case answer == http.StatusNotFound:
		return nil, false, nil
	case answer != http.StatusOK:
		return nil, false, fmt.Errorf("registry %s: %s:%s: answers %d", registryAddress, name, tag, answer)
	}
	return body, true, nil
}

// rename gives what the registry has under one tag another tag there. The engine's
// own tags do not take part: what runs here, and what `docker compose up` would
// run, stays what it was until a roll has pulled and proved the new one.
func rename(ctx context.Context, from, to string) error {
	body, found, err := manifest(ctx, from)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("registry %s has no %s, which was just pushed", registryAddress, from)
	}
	name, tag := repository(to)
	answer, _, err := ask(ctx, http.MethodPut, name, tag, body)
	if err == nil && answer != http.StatusCreated {
		err = fmt.Errorf("registry %s: %s:%s: answers %d", registryAddress, name, tag, answer)
	}
	return err
}

func ask(ctx context.Context, method, name, tag string, body []byte) (int, []byte, error) {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	url := "http://" + registryAddress + "/v2/" + name + "/manifests/" + tag
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Accept", manifestType)
	if body != nil {
		request.Header.Set("Content-Type", manifestType)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("the registry does not answer: %w; look at it with hive logs registry", err)
	}
	defer answer.Body.Close()
	const most = 4 << 20
	raw, err := io.ReadAll(io.LimitReader(answer.Body, most))
	return answer.StatusCode, raw, err
}

// publish brings the image that build made into the registry, and an older one that
// the registry has lost. One that the image's own tag does not name here goes there
// under that tag, and leaves the engine: a procedure finds it, pulls it and rolls.
func (b *builder) publish(ctx context.Context, p program, tag string) error {
	t := b.progress.begin(p.name)
	defer t.quit()
	if tag != "" && tag != p.image {
		if err := b.send(ctx, p, tag, t); err != nil {
			return err
		}
		t.done("%s: newer image pushed; what runs stays until hive run RollingRestart", p.image)
		return nil
	}
	_, found, err := manifest(ctx, p.image)
	if err != nil || found && tag == "" {
		return err
	}
	if err := b.push(ctx, p.image, t); err != nil {
		return err
	}
	t.done("%s pushed", p.image)
	return nil
}

// send pushes a local tag, gives it the image's own tag in the registry, and takes
// the local one away.
func (b *builder) send(ctx context.Context, p program, tag string, t *task) error {
	if err := b.push(ctx, tag, t); err != nil {
		return err
	}
	if err := rename(ctx, tag, p.image); err != nil {
		return err
	}
	_, err := b.api.ImageRemove(ctx, tag, image.RemoveOptions{PruneChildren: true})
	return err
}
