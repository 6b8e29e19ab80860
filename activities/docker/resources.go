package docker

import (
	"sort"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/blkiodev"
	"github.com/docker/docker/api/types/container"
)

// resources are the service's limits: those under deploy win over the older ones
// beside it, as with Compose.
func resources(svc types.ServiceConfig) container.Resources {
	const nano, percent = 1e9, 100
	oomKillDisable := svc.OomKillDisable
	out := container.Resources{
		CgroupParent: svc.CgroupParent, Memory: int64(svc.MemLimit), MemorySwap: int64(svc.MemSwapLimit),
		MemoryReservation: int64(svc.MemReservation), OomKillDisable: &oomKillDisable,
		CPUCount: svc.CPUCount, CPUPercent: int64(svc.CPUPercent * percent), CPUPeriod: svc.CPUPeriod, CPUQuota: svc.CPUQuota,
		CPURealtimePeriod: svc.CPURTPeriod, CPURealtimeRuntime: svc.CPURTRuntime, CPUShares: svc.CPUShares,
		NanoCPUs: int64(svc.CPUS * nano), CpusetCpus: svc.CPUSet, DeviceCgroupRules: svc.DeviceCgroupRules,
		Ulimits: ulimits(svc.Ulimits),
	}
	if svc.MemSwappiness != 0 {
		n := int64(svc.MemSwappiness)
		out.MemorySwappiness = &n
	}
	if svc.PidsLimit != 0 {
		n := svc.PidsLimit
		out.PidsLimit = &n
	}
	limitBlocks(svc.BlkioConfig, &out)
	if svc.Deploy != nil {
		limit(svc.Deploy.Resources.Limits, &out)
		reserve(svc.Deploy.Resources.Reservations, &out)
	}
	for _, d := range svc.Devices {
		out.Devices = append(out.Devices, container.DeviceMapping{
			PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: d.Permissions,
		})
	}
	for _, g := range svc.Gpus {
		request := deviceRequest(g)
		request.Capabilities[0] = append(request.Capabilities[0], "gpu")
		out.DeviceRequests = append(out.DeviceRequests, request)
	}
	return out
}

func limit(r *types.Resource, out *container.Resources) {
	const nano = 1e9
	if r == nil {
		return
	}
	if r.MemoryBytes != 0 {
		out.Memory = int64(r.MemoryBytes)
	}
	if r.NanoCPUs != 0 {
		out.NanoCPUs = int64(r.NanoCPUs * nano)
	}
	if r.Pids > 0 {
		n := r.Pids
		out.PidsLimit = &n
	}
}

func reserve(r *types.Resource, out *container.Resources) {
	if r == nil {
		return
	}
	if r.MemoryBytes != 0 {
		out.MemoryReservation = int64(r.MemoryBytes)
	}
	for _, d := range r.Devices {
		out.DeviceRequests = append(out.DeviceRequests, deviceRequest(d))
	}
}

func deviceRequest(d types.DeviceRequest) container.DeviceRequest {
	return container.DeviceRequest{
		Driver: d.Driver, Count: int(d.Count), DeviceIDs: d.IDs, Options: d.Options,
		Capabilities: [][]string{append([]string{}, d.Capabilities...)},
	}
}

func ulimits(m map[string]*types.UlimitsConfig) []*container.Ulimit {
	var out []*container.Ulimit
	for name, u := range m {
		soft, hard := u.Single, u.Single
		if u.Soft != 0 {
			soft = u.Soft
		}
		if u.Hard != 0 {
			hard = u.Hard
		}
		out = append(out, &container.Ulimit{Name: name, Soft: int64(soft), Hard: int64(hard)})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func limitBlocks(b *types.BlkioConfig, out *container.Resources) {
	if b == nil {
		return
	}
	out.BlkioWeight = b.Weight
	for _, w := range b.WeightDevice {
		out.BlkioWeightDevice = append(out.BlkioWeightDevice, &blkiodev.WeightDevice{Path: w.Path, Weight: w.Weight})
	}
	out.BlkioDeviceReadBps = throttles(b.DeviceReadBps)
	out.BlkioDeviceReadIOps = throttles(b.DeviceReadIOps)
	out.BlkioDeviceWriteBps = throttles(b.DeviceWriteBps)
	out.BlkioDeviceWriteIOps = throttles(b.DeviceWriteIOps)
}

func throttles(devices []types.ThrottleDevice) []*blkiodev.ThrottleDevice {
	var out []*blkiodev.ThrottleDevice
	for _, d := range devices {
		out = append(out, &blkiodev.ThrottleDevice{Path: d.Path, Rate: uint64(d.Rate)})
	}
	return out
}
