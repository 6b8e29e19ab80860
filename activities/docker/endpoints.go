package docker

import (
	"net/netip"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// connect writes the service's networks into the documents. The first by priority
// is the one that the container's address is read from and the proxy routes to.
func (d *documents) connect(project *types.Project, svc types.ServiceConfig, o Options) error {
	if svc.NetworkMode != "" {
		if o.Address != "" {
			return refuse(svc, "network_mode %s leaves no room for the address %s", svc.NetworkMode, o.Address)
		}
		return nil
	}
	if len(project.Networks) == 0 {
		d.Host.NetworkMode = network.NetworkNone
		return nil
	}
	keys := svc.NetworksByPriority()
	if len(keys) == 0 {
		keys = []string{"default"}
	}
	addressed := ""
	if o.Address != "" {
		if addressed = networkFor(project, keys, o.Address); addressed == "" {
			return refuse(svc, "address %s lies in no configured subnet of its networks", o.Address)
		}
	}
	d.Endpoints = map[string]*network.EndpointSettings{}
	for i, key := range keys {
		n, ok := project.Networks[key]
		if !ok {
			return refuse(svc, "network %s is not declared", key)
		}
		e := endpoint(d.Name, svc, svc.Networks[key])
		if key == addressed {
			if e.IPAMConfig == nil {
				e.IPAMConfig = &network.EndpointIPAMConfig{}
			}
			if e.IPAMConfig.IPv4Address == "" {
				e.IPAMConfig.IPv4Address, e.IPAddress = o.Address, o.Address
			}
		}
		d.Endpoints[n.Name] = e
		if i == 0 {
			d.Primary = n.Name
		}
	}
	d.Host.NetworkMode = container.NetworkMode(d.Primary)
	return nil
}

func endpoint(name string, svc types.ServiceConfig, c *types.ServiceNetworkConfig) *network.EndpointSettings {
	e := &network.EndpointSettings{Aliases: []string{name, svc.Name}}
	if c == nil {
		return e
	}
	e.Aliases = append(e.Aliases, c.Aliases...)
	e.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: c.Ipv4Address, IPv6Address: c.Ipv6Address, LinkLocalIPs: c.LinkLocalIPs}
	e.IPAddress = c.Ipv4Address
	e.DriverOpts = c.DriverOpts
	e.GwPriority = c.GatewayPriority
	return e
}

// networkFor is the key of the network whose configured subnet holds the address.
func networkFor(project *types.Project, keys []string, address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	for _, key := range keys {
		for _, pool := range project.Networks[key].Ipam.Config {
			if subnet, err := netip.ParsePrefix(pool.Subnet); err == nil && subnet.Contains(ip) {
				return key
			}
		}
	}
	return ""
}

// addressOf is the container's address on its first network, "" while it has none.
func addressOf(mode container.NetworkMode, networks map[string]*network.EndpointSettings) string {
	if e := networks[string(mode)]; e != nil {
		return e.IPAddress
	}
	return ""
}
