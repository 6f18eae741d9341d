"""What a run would come to, before it is one."""
