package command

// Archived returns what an archive keeps of a command so that a restore can
// apply it again: the command itself; of maintenance, which a restored database
// does anew with files of its own, the trail alone; or nil.
func Archived(c *Command) *Command {
	switch Plain(c.Body).(type) {
	case FileBegin, Adopt, AdoptPacked, Move, SwapBytes, DropFiles, DropWindows, // the cold tier
		ForgetHistory, ExpireStream, CutStream, // what time and the bounds of streams end
		RaiseCeiling, LosePositions, // this node's positions
		PutJob, DropJobs: // its jobs
	default:
		return c
	}
	if c.Trail == nil {
		return nil
	}
	return &Command{Time: c.Time, Durability: c.Durability, Actor: c.Actor, Body: PutAudit{}, Trail: c.Trail}
}
