package home

// view is what one partition has of an agent's slots.
type view struct {
	// Open: the agent is seated there and can be granted slots.
	Open bool
	// Asked is how many slots it was last granted, Ceiling how many executions it may
	// run until the grant is heard of: the larger of slots and executions.
	Asked, Ceiling int
	Running        int
	// Wanted: tasks wait there that the agent could do and has no slot for.
	Wanted bool
}

// split says how many slots each partition should be granted now. Where nobody waits the
// slots stay where they are, and free ones are spread evenly. Where tasks wait, the
// partitions that want the agent share its capacity, those that do not give idle slots up,
// but for one each if there are plenty. Slots are taken away at once and given only once
// they are free, so that the sum of what is granted and what runs never grows above
// capacity. Where more partitions want the agent than it has slots, turn says whose turn it
// is: it should grow with time.
func split(capacity int, views []view, turn int) []int {
	asks := make([]int, len(views))
	wanting := 0
	for n, v := range views {
		asks[n] = v.Asked
		if v.Open && v.Wanted {
			wanting++
		}
	}
	due := make([]int, len(views)) // to those that want; else all are equal
	if wanting > 0 {
		yield(capacity, views, asks, due, wanting, turn)
	}
	free := capacity
	for n, v := range views {
		free -= max(v.Ceiling, asks[n])
	}
	for free > 0 {
		best := -1
		for n, v := range views {
			if !v.Open || wanting > 0 && !v.Wanted {
				continue
			}
			if best < 0 || due[n]-asks[n] > due[best]-asks[best] {
				best = n
			}
		}
		if best < 0 {
			return asks
		}
		// A slot that was taken away and is in use comes back without being free.
		if asks[best]++; asks[best] > views[best].Ceiling {
			free--
		}
	}
	return asks
}

// yield takes slots from those that have more than they should, and says how many are due
// to each that wants them: what the others leave, in equal shares.
func yield(capacity int, views []view, asks, due []int, wanting, turn int) {
	keep := 0
	if capacity >= 2*len(views) {
		keep = 1 // so that the next task there need not wait for a slot to come back
	}
	// One that does not want may go on with what it runs, if there is enough for all.
	busy := 0
	if working := working(views); working <= capacity {
		busy = capacity / working
	}
	left := capacity
	for n, v := range views {
		switch {
		case !v.Open:
			left -= v.Ceiling
		case !v.Wanted:
			asks[n] = min(asks[n], max(keep, min(v.Running, busy)))
			left -= asks[n]
		}
	}
	share, more := max(left, 0)/wanting, max(left, 0)%wanting
	place := 0
	for n, v := range views {
		if !v.Open || !v.Wanted {
			continue
		}
		due[n] = share
		at := place
		if share == 0 {
			at = (place + turn) % wanting
		}
		if at < more {
			due[n]++
		}
		asks[n] = min(asks[n], due[n])
		place++
	}
}

// working counts the partitions that want the agent or keep it busy.
func working(views []view) int {
	n := 0
	for _, v := range views {
		if v.Open && (v.Wanted || v.Running > 0) {
			n++
		}
	}
	return n
}

// level says how many slots each partition should keep of an agent that does nothing and
// that nobody waits for: an equal share. What it takes away is free then, for split to
// spread. An agent also attaches while a partition is on its way to another owner; without
// a slot there it would get nothing of what comes, as long as other agents can do it all.
func level(capacity int, views []view) []int {
	asks := make([]int, len(views))
	idle, open := true, 0
	for n, v := range views {
		asks[n] = v.Asked
		idle = idle && v.Running == 0 && !v.Wanted
		if v.Open {
			open++
		}
	}
	if !idle || open == 0 {
		return asks
	}
	share := (capacity + open - 1) / open
	for n, v := range views {
		if v.Open {
			asks[n] = min(v.Asked, share)
		}
	}
	return asks
}
