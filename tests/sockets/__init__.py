"""What a ping socket does, rule by rule; one suite for every kind of socket."""
