"""What a run would do, take and lack, said before anything is started."""
