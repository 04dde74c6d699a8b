"""Tests of the contract that others hold on to."""
