"""What a run would do, use and lack, reported before anything is started."""
