package policy

import (
	"context"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

const canary = "kanarienvogel-7fd1"

// shortRunbook names only what has no default.
const shortRunbook = `proxy: {service: nginx, url: "http://127.0.0.1:8080"}
database: {service: postgres-primary, name: leanvibe_production, user: leanvibe}
cache: {services: [redis-node1]}
metrics: {prometheus: "http://127.0.0.1:9090", alertmanager: "http://127.0.0.1:9093"}
`

const smallCompose = `name: small
services:
  web:
    image: ${WEB_IMAGE:-example/web:1}
    environment:
      PASSWORD: ` + canary + `
    labels: {FOREIGN_LABEL: "` + canary + `"}
    command: ["sh", "-c", "echo $$HOME"]
    networks: [hive]
    deploy: {replicas: 2}
    x-hive:
      role: app
      probe: {http: /ready, port: 80}
      proxy: {upstream: web}
  nginx: {image: nginx, networks: {hive: {ipv4_address: 10.9.0.10}}, x-hive: {role: proxy}}
  postgres-primary: {image: postgres, networks: [hive], x-hive: &store {role: store, backup: hot}}
  redis-node1: {image: redis, networks: [hive], x-hive: *store}
networks:
  hive:
    ipam: {config: [{subnet: 10.9.0.0/16, ip_range: 10.9.128.0/17, gateway: 10.9.0.1}]}
`

// readBack reads the run's copy as the docker hand does: resolved already, so
// nothing is interpolated, resolved or normalised again.
func readBack(path string) (*types.Project, error) {
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{
		ConfigFiles: []types.ConfigFile{{Filename: path}},
	}, func(o *loader.Options) {
		o.SkipInterpolation, o.SkipNormalization, o.SkipConsistencyCheck = true, true, true
		o.SkipResolveEnvironment, o.SkipExtends, o.SkipInclude, o.ResolvePaths = true, true, true, false
		o.SetProjectName("x", false)
	})
}
