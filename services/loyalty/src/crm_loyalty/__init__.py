"""The loyalty programme: points, and tiers, rewards, coupons, prices and care around them."""
