# The stories in a page of docs/: what stands in its ```scn blocks, for `meridian lab run`. Line numbers stay the page's.
/^```scn$/ { on = 1; print ""; next }
/^```$/ { on = 0 }
{ print on ? $0 : "" }
